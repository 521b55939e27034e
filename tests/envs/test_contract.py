"""Every environment keeps every rule of the contract, and every rule catches its breach."""

import re
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

import envs
from drac_jax.types import Environment, EnvSpec, EnvState
from envs import contract
from tests.support import toys

MJX = pytest.mark.heavy
# The six robots are one program on six models. `make test` has the one that compiles fastest.
SLOW = {*envs.LOCOMOTION, "ant_maze"} - {"swimmer"}
# id: (name, options) and its marks; a new environment is a new line.
ENVIRONMENTS = {
    "multigoal": (("multigoal", {}), ()),
    "multigoal_sparse": (("multigoal", {"reward": "sparse"}), ()),
    "multigoal_walls": (("multigoal", {"metric": "euclidean", "obstacles": True}), ()),
    "mario_multifacet": (("mario", {"decoder": toys.level_decoder()}), ()),
    "mario_puzzle": (("mario", {"reward": "puzzle", "decoder": toys.level_decoder()}), ()),
    "point_maze": (("point_maze", {"layout": "simple"}), MJX),
    **{
        name: ((name, {"fidelity": "fast"}), pytest.mark.slow if name in SLOW else MJX)
        for name in (*envs.LOCOMOTION, "ant_maze")
    },
}
each_environment = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks) for name, (_, marks) in ENVIRONMENTS.items()]
)


@cache
def subject_of(name: str) -> contract.Subject:
    """Make an environment once for all rules, which share what it compiles."""
    (kind, options), _ = ENVIRONMENTS[name]
    return contract.make_subject(envs.make(kind, **options))


@each_environment
@pytest.mark.parametrize("rule", contract.RULES)
def test_environment_keeps_the_rule(name, rule):
    try:
        assert contract.examine(rule, subject_of(name)) == []
    except contract.NotApplicable as reason:
        pytest.skip(str(reason))


def walk(change: Callable = lambda step: step, **spec) -> envs.Task:
    """A walk on a line from a random place; change: (TaskStep of a step) -> another; spec: sizes
    that are declared."""

    def reset(key: jax.Array) -> envs.TaskStep:
        place = jax.random.uniform(key, (2,))
        return envs.TaskStep(sim=place, obs=place)

    def step(place: jax.Array, action: jax.Array) -> envs.TaskStep:
        place = place + action
        return change(envs.TaskStep(sim=place, obs=place, reward=place.sum()))

    return envs.Task(EnvSpec("walk", 2, 1, 10)._replace(**spec), reset, step)


def raising(step: envs.TaskStep) -> envs.TaskStep:
    return step._replace(obs=step.obs + jnp.zeros(3))


def hiding_nan(step: envs.TaskStep) -> envs.TaskStep:
    return jax.tree.map(jnp.nan_to_num, step)


def counting() -> envs.Task:
    """An int in the state that a step makes a float."""
    good = walk()
    start = envs.TaskStep(sim=jnp.zeros((), jnp.int32), obs=jnp.zeros(2))
    return good._replace(
        reset=lambda key: start, step=lambda n, action: start._replace(sim=n + action[0])
    )


def batched(change: Callable, **spec) -> Environment:
    """A walk batched by itself; change: (state before, action, state after) -> state after."""
    whole = envs.batch(walk())

    def step(state: EnvState, action: jax.Array) -> EnvState:
        return change(state, action, whole.step(state, action))

    return Environment(whole.spec._replace(**spec), lambda keys: whole.reset(keys), step)


def telling(**info: Callable) -> Environment:
    """A batched walk with other entries in info; each: (state before, state after) -> entry."""

    def change(before: EnvState, action: jax.Array, after: EnvState) -> EnvState:
        return after.replace(info=after.info | {k: f(before, after) for k, f in info.items()})

    return batched(change)


def paying(reward: Callable) -> Environment:
    """A batched walk with another reward: (action, reward) -> reward."""
    return batched(lambda _, action, after: after.replace(reward=reward(action, after.reward)))


def starting_elsewhere() -> Environment:
    whole = envs.batch(toys.countdown(longest=1))

    def step(state: EnvState, action: jax.Array) -> EnvState:
        after = whole.step(state, action)
        return after.replace(obs=after.obs + 1.0)

    return whole._replace(step=step)


def unpredictable(action: jax.Array, reward: jax.Array) -> jax.Array:
    draw = np.random.default_rng()
    return io_callback(lambda: draw.random(reward.shape, np.float32), reward)


BREACHES: dict[str, tuple[str, Callable[[], Environment | envs.Task], str]] = {
    "no_obs_at_all": ("spec", lambda: walk(obs_size=0), "obs_size=0 must be a whole number"),
    "wrong_obs_size": ("task", lambda: walk(obs_size=3), r"float32\(2,\); .* shape \(3,\)"),
    "step_raises": ("task", lambda: walk(raising), r"raised TypeError.*\(2,\).*\(3,\).*in raising"),
    "step_drops_obs": (
        "task",
        lambda: walk(lambda step: step._replace(obs=step.obs[:1])),
        r"obs as float32\(1,\), reset as float32\(2,\)",
    ),
    "step_returns_a_tuple": ("task", lambda: walk(tuple), "returns tuple; return a TaskStep"),
    "int_becomes_float": ("task", counting, r"sim as float32\(\), reset as int32\(\)"),
    "wrong_batched_obs_size": (
        "reset",
        lambda: batched(lambda before, action, after: after, obs_size=3),
        r"obs as float32\(1, 2\); it must be float32\(1, 3\)",
    ),
    "dtype_drifts": (
        "step",
        lambda: paying(lambda action, reward: reward.astype(jnp.float16)),
        r"reward as float16\(4,\), reset as float32\(4,\)",
    ),
    "dtype_drift_retraces": (
        "one_trace",
        lambda: paying(lambda action, reward: reward.astype(jnp.float16)),
        "traced 2 times",
    ),
    "breaks": ("finite", lambda: toys.obedient(max_steps=20), "random actions break it"),
    "unpredictable": ("determinism", lambda: paying(unpredictable), "reward differs"),
    "not_clipped": (
        "clipping",
        lambda: paying(lambda action, reward: reward + action[:, 0]),
        "reward differs from that of clipped actions",
    ),
    "shared_reward": (
        "members",
        lambda: paying(lambda action, reward: reward - reward.mean()),
        "reward of one environment depends on the others",
    ),
    "limit_as_termination": (
        "time_limit",
        lambda: telling(truncation=lambda before, after: jnp.zeros_like(after.done)),
        "ends as terminated; report truncation",
    ),
    "limit_not_kept": (
        "time_limit",
        lambda: batched(lambda before, action, after: after, max_steps=5),
        "10 steps, more than spec.max_steps=5",
    ),
    "terminal_obs_of_the_next": (
        "terminal_obs",
        lambda: telling(terminal_obs=lambda before, after: after.obs),
        "the next episode's first obs",
    ),
    "terminal_obs_of_the_last": (
        "terminal_obs",
        lambda: telling(terminal_obs=lambda before, after: before.obs),
        "not the obs of a step that ends nothing",
    ),
    "one_start": ("initial_states", lambda: envs.batch(walk(), pool_size=1), "begins alike"),
    "another_start": ("initial_states", starting_elsewhere, "starts elsewhere"),
    "length_goes_on": (
        "sums",
        lambda: telling(episode_length=lambda before, after: before.info["episode_length"] + 1),
        "episode_length is not",
    ),
    "return_of_one_step": (
        "sums",
        lambda: telling(episode_return=lambda before, after: after.reward),
        "episode_return is not",
    ),
    "goal_that_is_not": (
        "sums",
        lambda: walk(lambda step: step._replace(goal=3)),
        r"leaves 0\.\.0",
    ),
    "hides_nan": ("nan_guard", lambda: walk(hiding_nan), "NaN in its state is not reported"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_rule_catches_its_breach(breach):
    rule, make, message = BREACHES[breach]
    problems = contract.examine(rule, contract.make_subject(make()))
    assert any(re.search(message, problem) for problem in problems), problems


@pytest.mark.parametrize("rule", contract.RULES)
def test_every_rule_has_a_breach(rule):
    assert rule in {name for name, _, _ in BREACHES.values()}


def test_check_prints_a_line_for_each_rule(capsys):
    assert envs.check(walk()) == []
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["ok", rule] for rule in contract.RULES]


def test_check_stops_where_the_shapes_are_wrong(capsys):
    (problem,) = envs.check(walk(raising))
    assert problem.startswith("task: it raised TypeError")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "spec"] and lines[1] == f"WRONG  {problem}"
    assert len(lines) == 3


def test_check_refuses_what_is_no_environment():
    with pytest.raises(ValueError, match=r"env is int, .* use envs\.adapt"):
        envs.check(3)
