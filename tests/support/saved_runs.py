"""Saved runs of every method, without their training: a run folder as a run leaves it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.storage import run_folder
from drac_jax.types import EnvSpec
from experiments import find

SIZES: dict[str, dict[str, Any]] = {
    "amortized": {"latent_size": 4},
    "diffusion": {"steps": 3},
    "dacer": {"steps": 3},
    "s2ac": {"particles": 4, "svgd_steps": 2},
}
SPEC = EnvSpec("multigoal", 2, 2, 100)


def small_options(method: str, **changes: Any) -> Any:
    """Make a method's options small."""
    sizes = {"hidden": (16, 16)} | SIZES.get(method, {}) | changes
    return replace(METHODS[method].options, **sizes)


def small_agent(method: str, spec: EnvSpec = SPEC, **changes: Any) -> tuple[Any, Any]:
    """Make a method and an agent of it as it starts."""
    algorithm = METHODS[method].make(spec, small_options(method, **changes))
    hparams = METHODS[method].hparams
    return algorithm, algorithm.init(jax.random.key(1), hparams, spec.obs_size)


def save_run(folder: Path, method: str, seeds: int = 1, **changes: Any) -> Path:
    """Write what a policy is loaded from: config.json, and a checkpoint of `seeds` agents."""
    name = f"multigoal_{method}"
    options = small_options(method, **changes)
    config = replace(find(name).config(), algorithm=options, seeds=seeds)
    kept = {key: getattr(SPEC, key) for key in ("name", "obs_size", "action_size", "max_steps")}
    identity = {"experiment": name, "preset": "default", "config": exp.to_dict(config)}
    folder.mkdir(parents=True)
    run_folder.write_json(
        folder / run_folder.CONFIG, identity | {"spec": kept | {"method": method}}
    )
    algorithm = METHODS[method].make(SPEC, options)
    keys, hparams = jax.random.split(jax.random.key(0), seeds), METHODS[method].hparams
    agents = jax.vmap(lambda key: algorithm.init(key, hparams, SPEC.obs_size))(keys)
    with ocp.CheckpointManager((folder / run_folder.CHECKPOINTS).absolute()) as manager:
        manager.save(1, args=ocp.args.Composite(agent=ocp.args.StandardSave(agents)))
    return folder
