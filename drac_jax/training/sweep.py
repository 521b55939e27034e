"""Sweeps: seeds x grid of hyperparameters as the members of one vmapped program."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Members(NamedTuple):
    """N runs of one compiled program.

    seeds: one per member; hparams: leaves [N]; labels: what tells a member apart, its seed and
    the swept values.
    """

    seeds: list[int]
    hparams: Any
    labels: list[dict[str, float | int]]


def members(
    hparams: Any, seeds: Sequence[int], grid: Mapping[str, Sequence[float]] | None = None
) -> Members:
    """Cross seeds with a grid of hyperparameters; the seed varies fastest.

    hparams: the values that the grid leaves alone; grid: field -> values. Raises ValueError for
    a field that is not a hyperparameter (a static one changes a shape and cannot be swept).
    """
    grid = dict(grid or {})
    known = [field.name for field in fields(hparams)]
    for name, values in grid.items():
        if name not in known:
            raise ValueError(f"grid.{name} cannot be swept; use one of {', '.join(known)}")
        if not values:
            raise ValueError(f"grid.{name} has no values; give at least one")
    if not seeds:
        raise ValueError("seeds=0 must be at least 1")
    labels = [
        {"seed": seed, **dict(zip(grid, values, strict=True))}
        for values in itertools.product(*grid.values())
        for seed in seeds
    ]
    columns = {
        name: jnp.array([label.get(name, getattr(hparams, name)) for label in labels], jnp.float32)
        for name in known
    }
    return Members([int(label["seed"]) for label in labels], type(hparams)(**columns), labels)


def chunk(members: Members, number: int, chunks: int) -> Members:
    """Take one of `chunks` equal chunks of the members. number: from 1. Raises ValueError where the
    members cannot be divided so."""
    count = len(members.seeds)
    if not 1 <= number <= chunks:
        raise ValueError(f"chunk={number} must be in 1..{chunks}, the number of chunks")
    if count % chunks:
        fitting = " or ".join(str(n) for n in range(1, count + 1) if count % n == 0)
        raise ValueError(f"chunks={chunks} must divide the {count} members; use chunks={fitting}")
    size = count // chunks
    taken = slice((number - 1) * size, number * size)
    hparams = jax.tree.map(lambda x: x[taken], members.hparams)
    return Members(members.seeds[taken], hparams, members.labels[taken])


def keys(members: Members) -> tuple[jax.Array, jax.Array]:
    """Make the training keys and the evaluation keys of the members: [N] each. Members of one
    seed share them, so that a sweep compares like with like."""
    pairs = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(
        jnp.array(members.seeds, jnp.uint32)
    )
    return pairs[:, 0], pairs[:, 1]


def side_by_side(count: int) -> int:
    """Say how many of `count` members run at a time: all, but one on a CPU."""
    return 1 if jax.default_backend() == "cpu" else count


def over_members(function: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """Make (state, *shared) -> (state, results) of one member that of N members, leaves [N, ...];
    what is shared is the same for all.

    An accelerator takes them side by side. A CPU takes them in turn, in one program as well: one
    member's arrays stay in the cache, which is 1.2 to 1.5 times faster.
    """

    def together(states: Any, *shared: Any) -> tuple[Any, Any]:
        return jax.vmap(lambda state: function(state, *shared))(states)

    def in_turn(states: Any, *shared: Any) -> tuple[Any, Any]:
        def one(states: Any, member: jax.Array) -> tuple[Any, Any]:
            state, results = function(jax.tree.map(lambda x: x[member], states), *shared)
            return jax.tree.map(lambda x, new: x.at[member].set(new), states, state), results

        return jax.lax.scan(one, states, jnp.arange(len(jax.tree.leaves(states)[0])))

    return together if side_by_side(2) == 2 else in_turn


def each_member(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of one member that of N members, leaves [N, ...] in and out.

    A CPU takes them in turn: a vmap, even over one member, doubles the time to compile what draws
    random numbers.
    """
    if side_by_side(2) == 2:
        return jax.vmap(function)
    return lambda *arguments: jax.lax.map(lambda one: function(*one), arguments)
