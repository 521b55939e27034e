"""The dry run: values, memory and expected time of a run, from timing its parts."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from drac_jax.runs.hardware import devices
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import console
from drac_jax.training import sweep
from drac_jax.types import Transition

REPEATS = 5
# A whole epoch compiles about this much slower than its update and its env step apart.
COMPILE_FACTOR = 2.0


def describe(setup: RunSetup) -> str:
    """Describe a setup in lines; compiles one update and one env step to time them."""
    config, schedule = setup.config.train, setup.schedule
    updates = schedule.updates(config, schedule.epochs)
    steps = schedule.env_steps(config, schedule.epochs)
    count = len(setup.members.seeds)
    state = run_setup.abstract_state(setup)
    run_setup.check_state_memory(state, setup.mesh)
    compile_s, run_s = estimate(setup)
    lines = [
        json.dumps(run_setup.identity(setup), indent=1),
        f"environment: {setup.env.spec.name}, obs {setup.env.spec.obs_size}, "
        f"action {setup.env.spec.action_size}, time limit {setup.env.spec.max_steps}",
        f"budget: {steps:,} env steps and {updates:,} updates ({updates / steps:.3g} per env "
        f"step) x {count} member(s), {schedule.epochs} epochs",
        f"memory: replay {console.gigabytes(run_setup.replay_bytes(setup))}, whole state "
        f"{console.gigabytes(run_setup.state_bytes(state))} on {devices.describe(setup.mesh)}",
        f"expected, from timing its parts now: compile {compile_s:.0f} s, "
        f"run {console.duration(run_s)}, evaluations apart",
    ]
    return "\n".join(lines)


def estimate(setup: RunSetup) -> tuple[float, float]:
    """Time one update and one step of all environments, of the members that run side by side, as
    one device has them.

    -> expected seconds of compiling and of the whole budget, exchanges between devices apart.
    """
    config, schedule = setup.config.train, setup.schedule
    keys, _ = sweep.keys(setup.members)
    side, parts = setup.mesh.devices.shape
    count = len(keys) // side
    together = sweep.side_by_side(count)
    keys, hparams = jax.tree.map(lambda x: x[:together], (keys, setup.members.hparams))
    spec = setup.env.spec
    agents = jax.vmap(setup.algorithm.init, (0, 0, None))(keys, hparams, spec.obs_size)
    shape = (len(keys), setup.algorithm.num_minibatches, config.batch_size // parts)
    obs, action, scalar = (
        jnp.zeros((*shape, *s)) for s in ((spec.obs_size,), (spec.action_size,), ())
    )
    batch = Transition(obs, action, scalar, scalar, obs)
    states = jax.vmap(setup.env.reset)(
        jax.vmap(lambda key: jax.random.split(key, config.num_envs // parts))(keys)
    )

    def act_and_step(agent: Any, state: Any, key: jax.Array) -> Any:
        return setup.env.step(state, setup.algorithm.act(agent, state.obs, key))

    update = _time(jax.vmap(setup.algorithm.update), agents, batch, keys)
    step = _time(jax.vmap(act_and_step), agents, states, keys)
    steps = schedule.env_steps(config, schedule.epochs) / config.num_envs
    calls = schedule.updates(config, schedule.epochs) / setup.algorithm.num_minibatches
    crowd = max(1.0, devices.sharing_memory(setup.mesh) / (os.cpu_count() or 1))
    run = (calls * update[1] + steps * step[1]) * count / together * crowd
    return COMPILE_FACTOR * (update[0] + step[0]), run


def _time(function: Callable, *arguments: Any) -> tuple[float, float]:
    """-> seconds to compile, and the median seconds of a call."""
    began = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - began
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - began)
    return compile_seconds, sorted(seconds)[REPEATS // 2]
