"""Foreign environments keep our contract, and what is missing is named."""

import contextlib
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.fast import Fast
from brax.envs.wrappers import training
from flax import struct

import envs
from drac_jax.types import Environment
from envs import contract
from envs.foreign.libraries import LIBRARIES
from tests.support import toys


@struct.dataclass
class State:
    """What reset and step return in Playground's protocol."""

    data: jax.Array
    obs: dict[str, jax.Array]
    reward: jax.Array
    done: jax.Array
    metrics: dict[str, jax.Array]
    info: dict[str, Any]


class Cart:
    """A cart that actions push, in Playground's protocol: it ends beyond 1, by time_out at -1,
    and the first push is paid. Its info starts infinite, and is changed in place."""

    action_size, episode_length = 1, 30
    mj_model = mjx_model = None
    dt = 0.02

    def reset(self, rng: jax.Array) -> State:
        place = jax.random.uniform(rng, (1,), minval=-0.1, maxval=0.1)
        info = {"last_push": -jnp.inf, "time_out": jnp.zeros(()), "rng": rng}
        return State(place, self._obs(place), jnp.zeros(()), jnp.zeros(()), {}, info)

    def step(self, state: State, action: jax.Array) -> State:
        place = state.data + 0.1 * action
        out = (jnp.abs(place[0]) > 1.0).astype(float)
        reward = jnp.isinf(state.info["last_push"]).astype(float)
        state.info.update(last_push=action[0], time_out=jnp.where(place[0] < 0.0, out, 0.0))
        return state.replace(data=place, obs=self._obs(place), reward=reward, done=out)

    @staticmethod
    def _obs(place: jax.Array) -> dict[str, jax.Array]:
        return {"state": place, "privileged_state": jnp.tile(place, 3)}


def keys(number: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), number)


def problems(subject: contract.Subject) -> list[str]:
    """Run every rule on what is compiled once, as `envs.check` does."""
    found = []
    for rule in contract.RULES:
        with contextlib.suppress(contract.NotApplicable):
            found += contract.examine(rule, subject)
    return found


@pytest.mark.parametrize("env", [Cart(), Fast()], ids=["playground_protocol", "brax_fast"])
def test_a_foreign_environment_keeps_the_contract(env):
    assert envs.check(envs.adapt(env, max_steps=30)) == []


@pytest.mark.heavy
def test_the_pendulum_of_brax_keeps_the_contract_and_its_fall_is_termination():
    env = envs.make("brax:inverted_pendulum", max_steps=40)
    subject = contract.make_subject(env)
    assert problems(subject) == []
    played = subject.play(np.ones((40, contract.NUM_ENVS, 1), np.float32), keys(contract.NUM_ENVS))
    assert played["done"].any() and not played["truncation"].any()
    check_looks(env)


@pytest.mark.heavy
def test_a_playground_environment_keeps_the_contract():
    pytest.importorskip("mujoco_playground", reason="the extra `playground` is not installed")
    env = envs.make("playground:CartpoleBalance", max_steps=40)
    assert problems(contract.make_subject(env)) == []
    check_looks(env)


def test_playground_is_stepped_by_mjx_itself_and_not_by_warp():
    pytest.importorskip("mujoco_playground", reason="the extra `playground` is not installed")
    made = LIBRARIES["playground"].make("CartpoleBalance", {"impl": "auto"})
    assert made.mjx_model.impl.value == "jax"
    with pytest.raises(ValueError, match="impl='warp' keeps .* in one list.*; use impl='jax'"):
        envs.make("playground:CartpoleBalance", impl="warp")


def check_looks(env: Environment) -> None:
    qpos = jax.eval_shape(env.visual.qpos, jax.eval_shape(env.reset, keys(2)))
    assert qpos.shape == (2, env.visual.model().nq)


@pytest.mark.parametrize(("obs_key", "size"), [("state", 1), ("privileged_state", 3)])
def test_a_dict_obs_is_chosen_by_key(obs_key, size):
    env = envs.adapt(Cart(), obs_key=obs_key)
    assert env.spec.obs_size == env.reset(keys(2)).obs.shape[1] == size


@pytest.mark.parametrize(
    ("given", "size", "columns"),
    [
        ({}, 1, None),
        ({"actor_obs": "privileged_state"}, 3, None),
        ({"critic_obs": "state"}, 1, None),
        ({"critic_obs": "privileged_state"}, 4, ((0, 1), (1, 4))),
        ({"obs_key": "privileged_state", "critic_obs": "state"}, 4, ((0, 3), (3, 4))),
        ({"actor_obs": "state", "critic_obs": "privileged_state"}, 4, ((0, 1), (1, 4))),
    ],
)
def test_actor_and_critic_see_the_entries_that_are_named_for_them(given, size, columns):
    env = envs.adapt(Cart(), **given)
    obs = env.reset(keys(2)).obs
    assert env.spec.obs_size == obs.shape[1] == size
    assert (env.spec.actor_obs, env.spec.critic_obs) == (columns or (None, None))
    if columns:
        np.testing.assert_array_equal(obs, np.repeat(obs[:, :1], size, axis=1))


def test_an_environment_with_two_obs_keeps_the_contract():
    assert envs.check(envs.adapt(Cart(), max_steps=30, critic_obs="privileged_state")) == []


def test_done_is_termination_unless_the_state_says_that_time_is_out():
    forth_and_back = np.tile(np.array([[1.0], [1.0], [-1.0], [-1.0]], np.float32), (12, 1, 1))
    played = contract.make_subject(envs.adapt(Cart())).play(forth_and_back, keys(4))
    assert played["done"].any(axis=0).all()
    np.testing.assert_array_equal(played["truncation"][:, :2].any(axis=0), [False, False])
    np.testing.assert_array_equal(played["truncation"][:, 2:], played["done"][:, 2:])


def test_what_an_environment_changes_in_place_is_its_own():
    task = envs.from_playground(Cart())
    first = task.reset(jax.random.key(0))
    before = dict(first.sim.info)
    task.step(first.sim, jnp.ones(1))
    assert all(first.sim.info[name] is before[name] for name in before)


def test_infinities_in_info_are_kept_and_do_not_break_an_environment():
    env = envs.adapt(Cart())
    state = env.step(env.reset(keys(2)), jnp.ones((2, 1)))
    assert not state.info["broken"].any()
    assert state.reward.tolist() == [1.0, 1.0]  # the first push is paid, the next is not
    assert env.step(state, jnp.ones((2, 1))).reward.tolist() == [0.0, 0.0]


def test_the_time_limit_is_the_one_that_is_stated():
    assert envs.adapt(Cart()).spec.max_steps == 30
    assert envs.adapt(Cart(), max_steps=7).spec.max_steps == 7
    assert envs.adapt(toys.countdown(), max_steps=7).spec.max_steps == 7
    assert envs.make("brax:fast").spec.max_steps == 1000


def test_ours_are_adapted_as_they_are():
    env = envs.make("multigoal")
    assert envs.adapt(env) is env
    assert envs.adapt(toys.countdown()).spec == toys.countdown().spec


class Returning:
    """An environment whose reset returns what it is given."""

    action_size = 1

    def __init__(self, state: Any):
        self.state = state

    def reset(self, rng: jax.Array) -> Any:
        return self.state

    def step(self, state: Any, action: jax.Array) -> Any:
        return state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.adapt(object()), "object has no reset, step, action_size"),
        (lambda: envs.adapt(Returning((1.0, 2.0))), "returns tuple, without obs, reward, done"),
        (lambda: envs.adapt(Returning(object())), "reset.key. raises TypeError"),
        (lambda: envs.adapt(Fast()), "max_steps=None: .* use 1000"),
        (lambda: envs.adapt(Fast(), max_steps=0), "max_steps=0: "),
        (
            lambda: envs.adapt(Cart(), obs_key="pixels"),
            r"has privileged_state \(3,\), state \(1,\)",
        ),
        (lambda: envs.adapt(Cart(), critic_obs="all"), "critic_obs='all' is not in the obs"),
        (lambda: envs.adapt(Fast(), 9, actor_obs="state"), "actor_obs='state'.* is no dict"),
        (
            lambda: envs.adapt(Fast(obs_mode="dict_pixels"), 9, "pixels/view_0"),
            r"shape \(4, 4, 3\); it must be a vector",
        ),
        (
            lambda: envs.adapt(training.EpisodeWrapper(Fast(), 9, 1)),
            "env is in a EpisodeWrapper; pass it bare",
        ),
        (lambda: envs.adapt(envs.make("multigoal"), max_steps=9), "is made with 50"),
        (lambda: envs.make("brax:antt"), "no environment 'antt'; nearest: ant"),
        (lambda: envs.make("brax:inverted_pendulum", colour=1), "cannot be made: .*'colour'"),
        (lambda: envs.make("gym:ant"), "'gym' is none of brax:<name>, playground:<name>"),
    ],
)
def test_what_is_missing_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.skipif(importlib.util.find_spec("mujoco_playground") is not None, reason="it is here")
def test_a_missing_package_is_answered_with_how_to_install_it():
    with pytest.raises(ValueError, match=r"pip install 'drac_jax\[playground\]'"):
        envs.make("playground:CartpoleBalance")
