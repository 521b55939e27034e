"""What a run does on meshes of virtual devices, in a process of its own: prints JSON."""

import json
from typing import Any

import jax
import numpy as np

from drac_jax.networks.mlp import LONG_BATCH
from experiments.throughput.suites.training import scaling

UPDATES, EPOCHS = 100, 5
# 128 environments in 8 strata, an update a step, as soon as there is a batch that is long enough to
# be multiplied sample by sample.
TRAIN = {
    "env_steps": LONG_BATCH + 128 * UPDATES,
    "num_envs": 128,
    "strata": scaling.MOST,
    "batch_size": LONG_BATCH,
    "replay_capacity": 128 * 60,
    "learning_starts": 1,
    "epochs": EPOCHS,
}
CASES = ((1, 1), (2, 1), (4, 1), (8, 1), (4, 2))  # devices, seeds


def report(count: int, seeds: int) -> dict[str, Any]:
    """Train to the end. -> what the tests look at."""
    run = scaling.begin(scaling.setup_on(count, seeds, hidden=16, **TRAIN))
    for _ in range(EPOCHS):
        run = scaling.go_on(run)
    kept = {"replay": run.state.replay.data, "obs": run.state.env.obs, "step": run.state.step}
    shards = {name: list(x.addressable_shards[0].data.shape) for name, x in kept.items()}
    curve = {name: np.stack(values).tolist() for name, values in run.curve.items()}
    return {"mesh": run.setup.mesh.devices.shape, "shards": shards, "curve": curve} | {
        "exchanges": dict(run.exchanges)
    }


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", scaling.MOST)
    print(json.dumps([report(*case) for case in CASES]))
