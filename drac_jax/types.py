"""The core types: transitions, environments, actors, algorithms."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import struct

Params = Any
Metrics = dict[str, jax.Array]


class Transition(NamedTuple):
    """What an update learns from; every leaf has the same leading axes.

    obs: [..., O]; action: [..., A], in [-1, 1]; reward: [...], per env step, unscaled;
    discount: [...], 0 on termination and 1 otherwise (a time limit keeps bootstrapping);
    next_obs: [..., O], the observation before autoreset.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    next_obs: jax.Array


class Scene(NamedTuple):
    """The plan view of a 2-D task, in world units: what a trajectory is drawn on.

    bounds: (x_min, x_max, y_min, y_max); walls: [W, 4], boxes as (x_min, y_min, x_max, y_max);
    goals: [G, 2], centres in the order of the goal numbers; start: (x, y).
    """

    bounds: tuple[float, float, float, float]
    walls: np.ndarray
    goals: np.ndarray
    goal_radius: float
    goal_shape: Literal["square", "circle"]
    start: tuple[float, float]


class EnvSpec(NamedTuple):
    """Sizes and names of an environment. `scene` implies that obs[:2] is the position in it.
    host_callback: JAX calls the simulator on the host, which is one device's alone. actor_obs,
    critic_obs: the columns of obs, from the first to before the last, that each sees; None: all.
    forgotten: a checkpoint does not hold the simulator's state, so that a resumed run begins its
    episodes anew.
    """

    name: str
    obs_size: int
    action_size: int
    max_steps: int
    num_goals: int = 0
    scene: Scene | None = None
    host_callback: bool = False
    actor_obs: tuple[int, int] | None = None
    critic_obs: tuple[int, int] | None = None
    forgotten: bool = False


@struct.dataclass
class EnvState:
    """A batch of E environments after a step.

    obs: [E, O], already the next episode's where `done`; reward: [E]; done: [E] bool,
    terminated or truncated. info: `truncation` [E] bool (done without termination),
    `terminal_obs` [E, O] (before autoreset), `goal` [E] int32 (goal entered in this step, 0 none),
    `broken` [E] bool (replaced by the NaN guard; its transition must not be learnt from),
    `episode_return` and `episode_length` [E] (of the running episode, this step included).
    internal: whatever the environment needs to go on.
    """

    obs: jax.Array
    reward: jax.Array
    done: jax.Array
    info: dict[str, jax.Array]
    internal: Any


class Visual(NamedTuple):
    """How an environment looks in three dimensions.

    model: () -> mujoco.MjModel, made only where something is drawn; qpos: (EnvState) -> [E, Q],
    the joint positions of that model (of a Task: (sim) -> [Q]); dt: seconds of an env step.
    """

    model: Callable[[], Any]
    qpos: Callable[[Any], jax.Array]
    dt: float


class Environment(NamedTuple):
    """A batched environment of pure functions; the number of environments is that of the keys.

    reset: (keys [E]) -> EnvState. step: (EnvState, action [E, A]) -> EnvState, which resets by
    itself the environments that are done. visual: None where there is nothing to draw. release:
    (EnvState) -> None, gives back what a state that is stepped no more holds on the host.
    """

    spec: EnvSpec
    reset: Callable[[jax.Array], EnvState]
    step: Callable[[EnvState, jax.Array], EnvState]
    visual: Visual | None = None
    release: Callable[[EnvState], None] | None = None


class Trainable(NamedTuple):
    """Parameters with the state of their optimizer."""

    params: Params
    opt_state: Any


class ClippedState(NamedTuple):
    """The state of an optimizer, and the global norm that its gradients are clipped to: []."""

    max_norm: jax.Array
    inner: Any


class Actor(NamedTuple):
    """A policy as a deterministic map of an observation and a latent: a = f(s, z), z ~ p_z.

    init: (key, obs_size) -> params.
    latent: (key, shape) -> z, a pytree whose leaves start with `shape`.
    apply: (params, obs [..., O], z) -> action [..., A] in [-1, 1]; leading axes broadcast.
    law: of the numbers of z, as `Algorithm.laws` has it.
    """

    action_size: int
    init: Callable[[jax.Array, int], Params]
    latent: Callable[[jax.Array, tuple[int, ...]], Any]
    apply: Callable[[Params, jax.Array, Any], jax.Array]
    law: str = "unknown"


class Algorithm(NamedTuple):
    """A learning algorithm as a value of pure functions, as optax does it for optimizers.

    init: (key, hparams, obs_size) -> agent, which carries its hparams.
    act: (agent, obs [E, O], key) -> action [E, A], one sample of the policy per environment.
    mode: (agent, obs [E, O]) -> action [E, A], a deterministic representative.
    update: (agent, minibatches [M, B, ...], key) -> (agent, metrics), M = num_minibatches.
    num_minibatches: critic steps that one call of `update` stands for.
    slow_update: (agent, minibatches [1, B, ...], key) -> (agent, metrics), work too slow for every
    update, or None; slow_period: updates between two of them.
    latent, decide: the two parts of `act`, for whoever draws by other means (an exported policy):
    (key, shape) -> z, a pytree whose leaves start with `shape`, and (agent, obs [E, O], z of
    shape (E,)) -> action [E, A]. laws: of the numbers of each leaf of z, by the name that
    jax.random has for it, with its bounds: "normal", "truncated_normal -3 3", "randint 0 10".
    observe: (agent, transition, leaves [E, ...], done [E], broken [E]) -> agent, what it keeps of
    every step that is taken to collect data, or None; broken as in EnvState.
    """

    init: Callable[[jax.Array, Any, int], Any]
    act: Callable[[Any, jax.Array, jax.Array], jax.Array]
    mode: Callable[[Any, jax.Array], jax.Array]
    update: Callable[[Any, Transition, jax.Array], tuple[Any, Metrics]]
    num_minibatches: int = 1
    slow_update: Callable[[Any, Transition, jax.Array], tuple[Any, Metrics]] | None = None
    slow_period: int = 0
    latent: Callable[[jax.Array, tuple[int, ...]], Any] | None = None
    decide: Callable[[Any, jax.Array, Any], jax.Array] | None = None
    laws: tuple[str, ...] = ()
    observe: Callable[[Any, Transition, jax.Array, jax.Array], Any] | None = None
