"""Environments of Gymnasium on the host: whose simulator is whose, ends, boxes, bad input."""

import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import envs
from drac_jax.types import Environment
from envs.foreign import gymnasium_host
from envs.foreign.simulators import Simulators


class Line(gymnasium.Env):
    """A place that actions, of a box from 0 to 10, are added to; it ends at 100."""

    action_space: gymnasium.Space = spaces.Box(0.0, 10.0, (1,))
    observation_space: gymnasium.Space = spaces.Box(-np.inf, np.inf, (2,))

    def __init__(self, stop: float = 100.0):
        self.stop = stop

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.place = 0.0, float(self.np_random.uniform())
        return self._obs(), {}

    def step(self, action):
        self.steps, self.place = self.steps + 1.0, self.place + float(action[0])
        return self._obs(), self.place, self.place >= self.stop, False, {}

    def _obs(self):
        return np.array([self.steps, self.place], np.float32)


class Broken(Line):
    """A place that is not a number after three steps."""

    def _obs(self):
        return np.array([self.steps, np.nan if self.steps == 3 else self.place], np.float32)


class InPieces(Line):
    """What a line shows, as a dict with a tuple in it."""

    observation_space = spaces.Dict(
        {"a": spaces.Box(-1, 1, (2, 2)), "b": spaces.Tuple([spaces.Discrete(3)])}
    )

    def _obs(self):
        return {"a": np.eye(2, dtype=np.float32), "b": (2,)}


def with_spaces(**changed: gymnasium.Space) -> type:
    return type("Changed", (Line,), changed)


def keys(number: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), number)


def line(**options: float) -> Environment:
    return gymnasium_host.from_factory(lambda: Line(**options), 20)


def test_an_environment_of_gymnasium_keeps_the_contract():
    assert envs.check(line(stop=30.0)) == []


def test_actions_are_mapped_from_minus_1_to_1_to_the_box():
    env = line()
    state = env.reset(keys(3))
    after = env.step(state, jnp.array([[-1.0], [0.0], [5.0]]))
    np.testing.assert_allclose(after.obs[:, 1] - state.obs[:, 1], [0.0, 5.0, 10.0], atol=1e-5)


def test_termination_is_termination_and_the_time_limit_is_truncation():
    env = line(stop=30.0)
    state = env.reset(keys(2))
    for _ in range(20):
        state = env.step(state, jnp.array([[-1.0], [1.0]]))
        if state.done[1] and state.info["episode_length"][1] == 3:
            assert not state.info["truncation"][1]
            assert state.info["terminal_obs"][1, 1] >= 30.0 > 1.0 > state.obs[1, 1]
    assert state.done[0] and state.info["truncation"][0]
    assert state.info["terminal_obs"][0, 0] == 20.0 and state.obs[0, 0] == 0.0


def steps_of(env, keys, count=5):
    """Take steps in a scan. -> the obs [count, E, O]."""

    def step(state, _):
        state = env.step(state, jnp.zeros((len(keys), 1)))
        return state, (state.obs, state.info["broken"])

    return jax.lax.scan(step, env.reset(keys), None, count)[1]


@pytest.mark.parametrize("over", [jax.vmap, lambda f: lambda x: jax.lax.map(f, x)])
def test_seeds_in_one_program_step_simulators_of_their_own_in_order(over):
    env = line()
    both = jnp.stack([keys(3, 0), keys(3, 1)])
    obs, broken = jax.jit(over(lambda k: steps_of(env, k)))(both)
    assert not broken.any()
    np.testing.assert_array_equal(obs[..., 0], np.broadcast_to(np.arange(1, 6)[:, None], (2, 5, 3)))
    for seed in range(2):
        np.testing.assert_array_equal(obs[seed], jax.jit(lambda k: steps_of(env, k))(both[seed])[0])


def test_a_state_that_was_stepped_already_begins_a_new_episode_that_is_not_learnt_from():
    env = line()
    state = env.reset(keys(1))
    once, twice = (env.step(state, jnp.zeros((1, 1))) for _ in range(2))
    assert not once.info["broken"][0]
    assert twice.info["broken"][0] and twice.done[0] and twice.info["truncation"][0]
    assert twice.obs[0, 0] == 0.0
    np.testing.assert_array_equal(twice.info["terminal_obs"], state.obs)
    after = env.step(twice, jnp.zeros((1, 1)))
    assert after.obs[0, 0] == 1.0 and not after.info["broken"][0]


def test_a_simulator_that_stops_being_finite_is_broken_and_replaced():
    env = gymnasium_host.from_factory(Broken, 20)
    state = env.reset(keys(1))
    for step in range(3):
        before, state = state, env.step(state, jnp.zeros((1, 1)))
        assert state.info["broken"][0] == state.done[0] == (step == 2)
    np.testing.assert_array_equal(state.info["terminal_obs"], before.obs)
    assert np.isfinite(state.obs).all() and state.reward[0] == 0.0


def test_released_simulators_are_used_again():
    made = []
    env = gymnasium_host.from_factory(lambda: made.append(Line()) or made[-1], 20)

    @jax.jit
    def play(keys):
        state = env.step(env.reset(keys), jnp.zeros((3, 1)))
        env.release(state)
        return state.obs

    for seed in range(4):
        play(keys(3, seed)).block_until_ready()
    jax.effects_barrier()
    assert len(made) == 3


def test_what_was_left_longest_is_closed_where_too_many_are_alive(monkeypatch):
    monkeypatch.setattr("envs.foreign.simulators.MOST_ALIVE", 2)
    simulators = Simulators(Line, Line.observation_space, Line.action_space)
    first, second, third = (simulators.begin([seed])[0][0] for seed in range(3))
    assert list(simulators.living) == [second, third]
    assert simulators.step(first, 0, np.zeros(1))[2].broken


def test_a_dict_or_tuple_obs_is_flattened():
    env = gymnasium_host.from_factory(InPieces, 5)
    assert env.spec.obs_size == 7
    np.testing.assert_array_equal(env.reset(keys(1)).obs, [[1, 0, 0, 1, 0, 0, 1]])


def test_the_time_limit_is_the_registered_one_and_options_go_to_the_constructor():
    env = envs.make("gymnasium:Pendulum-v1")
    assert (env.spec.max_steps, env.spec.obs_size, env.spec.action_size) == (200, 3, 1)
    assert envs.make("gymnasium:Pendulum-v1", max_steps=7, g=1.0).spec.max_steps == 7
    assert set(envs.options_of("gymnasium:Pendulum-v1")) == {"max_steps", "g"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: envs.make("gymnasium:Pendulm-v1"), r"'Pendulm-v1'; nearest: Pendulum-v1"),
        (lambda: envs.make("gymnasium:Pendulum-v9"), "nearest: Pendulum-v1"),
        (lambda: envs.make("gymnasium:CartPole-v1"), r"actions are Discrete\(2\); only continuous"),
        (lambda: envs.make("gymnasium:Pendulum-v1", h=1), "cannot be made: .*'h'"),
        (lambda: envs.make("gymnasium:Pendulum-v1", max_steps=0), "max_steps=0"),
        (
            lambda: gymnasium_host.from_factory(
                with_spaces(observation_space=spaces.Box(0, 255, (8, 8, 3), np.uint8)), 9
            ),
            "observations are images",
        ),
        (
            lambda: gymnasium_host.from_factory(
                with_spaces(action_space=spaces.Box(-np.inf, 1.0, (1,))), 9
            ),
            "have no bounds",
        ),
        (
            lambda: gymnasium_host.from_factory(
                with_spaces(observation_space=spaces.Sequence(spaces.Discrete(3))), 9
            ),
            "are no vector",
        ),
        (lambda: gymnasium_host.from_factory(Line), "max_steps=None: .* use 1000"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_line(make, said):
    with pytest.raises(ValueError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("missing", "name", "extra"),
    [
        ("Box2D", "gymnasium:BipedalWalker-v3", "box2d"),
        ("shimmy", "gymnasium:dm_control/cartpole-balance-v0", "dm_control"),
    ],
)
def test_a_missing_package_is_answered_with_the_extra_to_install(monkeypatch, missing, name, extra):
    monkeypatch.setitem(sys.modules, missing, None)
    for module in [m for m in sys.modules if m.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ValueError, match=rf"pip install 'drac_jax\[{extra}\]'"):
        envs.make(name)


def test_an_environment_of_box2d_plays():
    pytest.importorskip("Box2D", reason="the extra `box2d` is not installed")
    env = envs.make("gymnasium:LunarLander-v3", continuous=True)
    state = env.step(env.reset(keys(2)), jnp.zeros((2, 2)))
    assert state.obs.shape == (2, 8) and np.isfinite(state.obs).all()
