"""The rules of behaviour, on one compiled reset and step: time, ends, keys, actions, NaN."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.types import EnvState
from envs.contract.subject import (
    NUM_ENVS,
    NotApplicable,
    Played,
    Subject,
    leaves_of,
    make_keys,
    shown,
)

SHORT_PLAY = 8  # steps
RESETS = 8  # of the whole batch
SLACK = 1e-4  # relative and absolute, between two places in one batch


def step_is_traced_once(subject: Subject) -> list[str]:
    """A second step compiles nothing."""
    steps, traces = len(subject.played["done"]) - 1, len(subject.traces)
    return [f"step was traced {traces} times in {steps} steps"] * (traces != 1)


def values_are_finite(subject: Subject) -> list[str]:
    """Nothing is infinite or not a number after a reset, nor after random actions."""
    # What is inside an environment batched by itself may well be infinite by design.
    sim = () if subject.task is None else subject.reset(make_keys()).internal.sim
    found = [
        f"reset returns {name} with infinities or NaN"
        for name, leaf in leaves_of(sim).items()
        if _bad(leaf)
    ]
    names = [name for name, value in subject.played.items() if _bad(value)]
    found += [f"{name} has infinities or NaN under random actions" for name in names]
    if broken := int(subject.played["broken"].sum()):
        found.append(f"random actions break it {broken} times: its state stops being finite")
    return found


def equal_keys_give_equal_episodes(subject: Subject) -> list[str]:
    """What happens is a function of the keys and the actions."""
    plan = subject.plan(SHORT_PLAY)
    one, other = (subject.play(plan, make_keys()) for _ in range(2))
    return [f"{name} differs between two plays" for name in _unequal(one, other)]


def actions_are_clipped(subject: Subject) -> list[str]:
    """An action outside [-1, 1] does what the nearest one inside does."""
    plan = 3.0 * subject.plan(SHORT_PLAY)
    wild = subject.play(plan, make_keys())
    tame = subject.play(np.clip(plan, -1.0, 1.0), make_keys())
    names = _unequal(wild, tame)
    return [f"{name} differs from that of clipped actions; clip them in step" for name in names]


def a_member_is_the_environment_alone(subject: Subject) -> list[str]:
    """In a batch of others an environment does what it does in a batch of its own copies."""
    plan, keys = subject.plan(SHORT_PLAY), make_keys()
    together, found = subject.play(plan, keys), set[str]()
    for member in range(NUM_ENVS):
        copies = np.full(NUM_ENVS, member)
        alone = subject.play(plan[:, copies], keys[copies])
        # Its autoreset may draw from another pool; until then there is one future.
        first_end = np.append(np.flatnonzero(together["done"][:, member]), SHORT_PLAY)[0] + 1
        for name in ("reward", "done", "terminal_obs"):
            expected = together[name][:first_end, member, None]
            if not np.allclose(alone[name][:first_end], expected, SLACK, SLACK):
                found.add(name)
    return [f"{name} of one environment depends on the others' place or state" for name in found]


def the_time_limit_truncates(subject: Subject) -> list[str]:
    """An episode of spec.max_steps steps is done, and as truncation; none is longer."""
    limit, played = subject.env.spec.max_steps, subject.played
    length, done, truncation = played["episode_length"], played["done"], played["truncation"]
    found = ["truncation without done"] * bool((truncation & ~done).any())
    if (length > limit).any():
        found.append(f"an episode has {length.max()} steps, more than spec.max_steps={limit}")
    if not done[length == limit].all():
        found.append(f"an episode goes on at spec.max_steps={limit}; end it there")
    if subject.task is not None:
        ended, going = _with_two_clocks(subject)
        terminated = going["done"] & ~going["truncation"]
        if not (ended["done"].all() and np.array_equal(ended["truncation"], ~terminated)):
            found.append(f"step {limit} is not reported as truncation")
    elif not (length == limit).any() and not found:
        raise NotApplicable(f"no episode of {len(done) - 1} steps got to max_steps={limit}")
    elif not (found or truncation[length == limit].any()):
        found.append(
            f"an episode of spec.max_steps={limit} ends as terminated; report truncation, or "
            "raise max_steps if the task itself ends there"
        )
    return found


def terminal_obs_is_before_autoreset(subject: Subject) -> list[str]:
    """The terminal obs is the obs that would be there without the autoreset."""
    played = subject.played
    obs, terminal, done = played["obs"], played["terminal_obs"], played["done"]
    found = []
    if not np.array_equal(terminal[~done], obs[~done]):
        found.append("it is not the obs of a step that ends nothing")
    # Where an episode was elsewhere just before it ended, it did not end where the next begins.
    elsewhere = done[1:] & ~done[:-1] & (obs[:-1] != obs[1:]).any(axis=-1)
    if elsewhere.any() and np.array_equal(terminal[1:][elsewhere], obs[1:][elsewhere]):
        found.append("it is the next episode's first obs; keep the obs from before the autoreset")
    if subject.task is not None:
        ended, going = _with_two_clocks(subject)
        if not np.array_equal(ended["terminal_obs"], going["terminal_obs"]):
            found.append("it is another one where the time limit ends the episode")
    return found


def autoreset_draws_initial_states(subject: Subject) -> list[str]:
    """An autoreset starts where a reset does, and elsewhere each time if that does."""
    drawn = [subject.reset(make_keys(seed=seed)).obs for seed in range(RESETS)]
    resets, begun = np.concatenate(drawn), subject.played["obs"][subject.played["done"]]
    if len(begun) < 2:
        raise NotApplicable(f"{len(begun)} episodes ended")
    if (resets == resets[0]).all():
        alike = (begun == resets[0]).all()
        return ["an autoreset starts elsewhere than every reset does"] * (not alike)
    alike = (begun == begun[0]).all()
    return ["every episode begins alike; draw initial states (pool_size above 1)"] * bool(alike)


def episodes_are_summed(subject: Subject) -> list[str]:
    """episode_length and episode_return count from the episode's first step, this one included."""
    played = subject.played
    going = ~played["done"][:-1]
    length = np.where(going, played["episode_length"][:-1], 0) + 1
    total = np.where(going, played["episode_return"][:-1], 0.0) + played["reward"][1:]
    found = []
    if not np.array_equal(length, played["episode_length"][1:]):
        found.append("episode_length is not the number of the episode's steps")
    if not np.allclose(total, played["episode_return"][1:], SLACK, SLACK):
        found.append("episode_return is not the sum of the episode's rewards")
    goal, goals = played["goal"], subject.env.spec.num_goals
    outside = ((goal < 0) | (goal > goals)).any()
    return found + [f"goal leaves 0..{goals} (spec.num_goals)"] * bool(outside)


def a_broken_environment_is_replaced(subject: Subject) -> list[str]:
    """An environment whose state turns NaN is done, reported, replaced, and alone in that."""
    if subject.task is None:
        raise NotApplicable("its state is not ours to break")
    state, action = subject.reset(make_keys()), subject.plan(1)[0]
    hurt = _with_nan(state)
    if hurt is state:
        raise NotApplicable("its state has no floats")
    whole, after = shown(subject.step(state, action)), shown(subject.step(hurt, action))
    if not _unequal(whole, after):
        raise NotApplicable("it reads no float of its state")
    found = [f"{name} has infinities or NaN" for name, value in after.items() if _bad(value)]
    if not all(after[flag][0] for flag in ("broken", "done", "truncation")):
        found.append("NaN in its state is not reported; let it reach obs, reward or sim of a step")
    others = {name: value[1:] for name, value in whole.items()}
    names = _unequal(others, {name: value[1:] for name, value in after.items()})
    return found + [f"{name} of the others changes with it" for name in names]


def _with_nan(state: EnvState) -> EnvState:
    """Put NaN into every float of the first environment's state; that state itself if none."""
    leaves, tree = jax.tree.flatten(state.internal.sim)
    floats = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    for i in floats:
        leaves[i] = np.array(leaves[i])  # on the host: no kernel to compile for each shape
        leaves[i][0] = np.nan
    internal = state.internal._replace(sim=jax.tree.unflatten(tree, leaves))
    return state.replace(internal=internal) if floats else state  # type: ignore[attr-defined]


def _with_two_clocks(subject: Subject) -> tuple[Played, Played]:
    """Take one step twice: as the last that the time limit allows, and far from it."""
    state, action = subject.reset(make_keys()), subject.plan(1)[0]
    limit = subject.env.spec.max_steps
    ended, going = (
        subject.step(state.replace(info=state.info | {"episode_length": clock}), action)  # type: ignore[attr-defined]
        for clock in np.full((2, NUM_ENVS), [[limit - 1], [-limit]], np.int32)
    )
    return shown(ended), shown(going)


def _bad(value: np.ndarray) -> bool:
    return bool(jnp.issubdtype(value.dtype, jnp.inexact) and not np.isfinite(value).all())


def _unequal(one: Played, other: Played) -> list[str]:
    return [name for name in one if not np.array_equal(one[name], other[name], equal_nan=True)]


BEHAVIOUR: dict[str, Callable[[Subject], list[str]]] = {
    "one_trace": step_is_traced_once,
    "finite": values_are_finite,
    "determinism": equal_keys_give_equal_episodes,
    "clipping": actions_are_clipped,
    "members": a_member_is_the_environment_alone,
    "time_limit": the_time_limit_truncates,
    "terminal_obs": terminal_obs_is_before_autoreset,
    "initial_states": autoreset_draws_initial_states,
    "sums": episodes_are_summed,
    "nan_guard": a_broken_environment_is_replaced,
}
