"""A thousand random steps of 256 environments of every kind: `make test-slow`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.engines.mjx_engine import gymnasium_spec, make_physics, mjx
from envs.locomotion.robots import ROBOTS
from envs.locomotion.task import make_locomotion

pytestmark = pytest.mark.slow

NUM_ENVS, STEPS = 256, 1000
# name, options, and the heights (m) that its obs[i] may have: a body neither sinks nor flies.
ENVIRONMENTS: dict[str, tuple[dict[str, Any], int | None, tuple[float, float]]] = {
    "multigoal": ({}, None, (0.0, 0.0)),
    "point_maze": ({"layout": "hard"}, None, (0.0, 0.0)),
    "ant_maze": ({"layout": "hard", "fidelity": "fast"}, 2, (0.0, 3.0)),
    "ant": ({"fidelity": "fast"}, 0, (0.0, 3.0)),
    "halfcheetah": ({"fidelity": "fast"}, 0, (-0.8, 1.5)),
    "hopper": ({"fidelity": "fast"}, 0, (0.5, 2.5)),
    "humanoid": ({"fidelity": "fast"}, 0, (0.5, 3.0)),
    "swimmer": ({"fidelity": "fast"}, None, (0.0, 0.0)),
    "walker2d": ({"fidelity": "fast"}, 0, (0.5, 3.0)),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_random_steps_stay_plausible(name):
    options, height, (lowest, highest) = ENVIRONMENTS[name]
    env = envs.make(name, **options)

    def step(state: Any, key: jax.Array) -> tuple[Any, Any]:
        action = jax.random.uniform(key, (NUM_ENVS, env.spec.action_size), minval=-1.0)
        state = env.step(state, action)
        obs, info = state.info["terminal_obs"], state.info
        speeds = jnp.abs(obs).max()
        high = obs[:, height or 0]
        return state, (info["broken"].sum(), state.done.sum(), speeds, high.min(), high.max())

    state = env.reset(jax.random.split(jax.random.key(0), NUM_ENVS))
    keys = jax.random.split(jax.random.key(1), STEPS)
    _, (broken, done, speed, low, high) = jax.jit(lambda s: jax.lax.scan(step, s, keys))(state)
    print(
        f"{name}: {int(broken.sum())} broken, {int(done.sum())} resets, |obs| up to "
        f"{float(speed.max()):.3g}, height {float(low.min()):.2f} to {float(high.max()):.2f}"
    )
    assert int(broken.sum()) == 0
    assert np.isfinite(speed).all()
    if height is not None:
        assert low.min() > lowest
        assert high.max() < highest


@pytest.mark.parametrize("number", [1024, 4096])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_thousands_of_environments_step(name, number):
    """Some versions of JAX hang there on two cores."""
    env = envs.make(name, **ENVIRONMENTS[name][0])
    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), number))
    state = jax.jit(env.step)(state, jnp.ones((number, env.spec.action_size)))
    assert state.info["episode_length"].tolist() == [1] * number


@pytest.mark.parametrize("name", [name for name in ROBOTS if name != "swimmer"])
def test_fast_fidelity_keeps_every_contact_that_random_steps_make(name):
    """Of all contacts, those that push are counted: never more than `fast` keeps."""
    robot = ROBOTS[name](False)
    physics = make_physics(gymnasium_spec(robot.file), robot.frame_skip, "fast")
    env = envs.batch(make_locomotion(name, fidelity="fast"))
    touching = jax.vmap(lambda sim: _count_touching(physics, sim))

    def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        action = jax.random.uniform(key, (NUM_ENVS, env.spec.action_size), minval=-1.0)
        return env.step(state, action), touching(state.internal.sim).max()

    state = env.reset(jax.random.split(jax.random.key(0), NUM_ENVS))
    keys = jax.random.split(jax.random.key(1), STEPS)
    most = int(jax.jit(lambda s: jax.lax.scan(step, s, keys)[1])(state).max())
    print(f"{name}: {most} contacts at once, {robot.contacts} kept")
    assert most <= robot.contacts


def _count_touching(physics: Any, sim: Any) -> jax.Array:
    found = mjx.collision(physics.on_device, physics.place(sim.qpos, sim.qvel))._impl.contact
    return (found.dist < found.includemargin).sum()
