"""The functions that make a task of a robot: called, and checked before anything is compiled."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.mjcf.motion import Motion
from envs.mjcf.own_functions import raises
from envs.mjcf.robot_state import RobotState, Seen


class Rules(NamedTuple):
    """The functions of `own_task`. noise: uniform, of the first qpos and qvel where there is no
    reset; m, rad and their velocities."""

    reward: Callable[[RobotState, jax.Array, RobotState], Any]
    obs: Callable[[RobotState], jax.Array]
    reset: Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None
    noise: float


def usual_obs(state: RobotState) -> jax.Array:
    """Observe qpos and qvel, without x and y of a free root. -> [O]."""
    free = (state.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)[:1].any()
    return jnp.concatenate([state.qpos[2 if free else 0 :], state.qvel])


def first_state(rules: Rules, model: mujoco.MjModel, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw qpos and qvel of a first state."""
    qpos, qvel = jnp.asarray(model.qpos0, jnp.float32), jnp.zeros(model.nv)
    if rules.reset is not None:
        return rules.reset(key, qpos, qvel)
    qpos_key, qvel_key = jax.random.split(key)
    shaken = [
        x + jax.random.uniform(k, x.shape, minval=-rules.noise, maxval=rules.noise)
        for k, x in ((qpos_key, qpos), (qvel_key, qvel))
    ]
    return shaken[0], shaken[1]


def paid(
    rules: Rules, model: mujoco.MjModel, before: Seen, action: jax.Array, after: Seen
) -> tuple[Any, Any]:
    """Pay a step. -> reward, and whether the episode ends."""
    pay = rules.reward(RobotState(model, before), action, RobotState(model, after))
    return pay if isinstance(pay, tuple) and len(pay) == 2 else (pay, False)


def check_rules(name: str, references: Mapping[str, Any], rules: Rules, motion: Motion) -> int:
    """Call the functions on a first state. name: of the environment; references: what the options
    were. -> the size of an observation. Raises ValueError for what they return, or raise."""
    model = motion.model
    told = {option: f"{option}={reference}" for option, reference in references.items()}
    first = _called(told["reset"], lambda: first_state(rules, model, jax.random.key(0)))
    _check_start(told["reset"], first, model)
    _, seen = jax.jit(motion.begin)(*first)
    obs = _called(told["obs"], lambda: rules.obs(RobotState(model, seen)))
    if jnp.ndim(obs) != 1:
        raise ValueError(f"{told['obs']} returns shape {jnp.shape(obs)}; it must be a vector")
    # As if a step had passed in which nothing moved.
    after, action = seen._replace(time=seen.time + motion.dt), jnp.zeros(model.nu)
    pay, ends = _called(told["reward"], lambda: paid(rules, model, seen, action, after))
    for what, value in (("reward", pay), ("end of the episode", ends)):
        if jnp.shape(value) != ():
            raise ValueError(
                f"{told['reward']} returns a {what} of shape {jnp.shape(value)}; return a number, "
                "or a number and whether the episode ends"
            )
    for option, value in (("obs", obs), ("reward", pay)):
        if not np.isfinite(np.asarray(value)).all():
            raise ValueError(
                f"{told[option]} of {name} is {value} in step 1, from the first state with "
                "action 0; it must be finite"
            )
    return obs.shape[0]


def _called(what: str, call: Callable[[], Any]) -> Any:
    try:
        return jax.jit(call)()
    except Exception as error:  # whatever a user's function raises
        raise ValueError(f"{what} {raises(error)}") from error


def _check_start(what: str, first: Any, model: mujoco.MjModel) -> None:
    shapes = [jnp.shape(x) for x in first] if isinstance(first, tuple) else []
    if shapes != [(model.nq,), (model.nv,)]:
        raise ValueError(
            f"{what} returns {shapes or type(first).__name__}; return qpos of shape "
            f"({model.nq},) and qvel of shape ({model.nv},)"
        )
