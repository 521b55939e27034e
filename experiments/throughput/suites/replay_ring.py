"""The replay ring: writing a row, and drawing a minibatch, beside a copy and two public buffers.

Transitions of Ant's sizes (obs 27, action 8). Every ring is full, so each write replaces the
oldest; loops are donated their ring. Brax's queue and flashbax's item buffer hold the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.training import replay as ring
from drac_jax.types import Transition
from experiments.throughput import timing

OBS, ACTION = 27, 8
SMALL, LARGE, MINIBATCH = 65_536, 4_194_304, 32_768
SEEDS, SEED_CAPACITY, SEED_MINIBATCH = 4, 100_000, 256


@dataclass(frozen=True)
class Options(timing.Options):
    """The replay ring: writing a row, drawing a minibatch, beside a copy and two public buffers.

    Example: python -m experiments bench replay
    """


class Buffer(NamedTuple):
    """A replay buffer: its empty state, add: (state, row [E]) -> state, and sample: (state, key)
    -> (state, minibatch)."""

    state: Any
    add: Callable[[Any, Transition], Any]
    sample: Callable[[Any, jax.Array], tuple[Any, Any]]


def our_ring(capacity: int, num_envs: int, minibatch: int, store_next_obs: bool = True) -> Buffer:
    """Make this project's ring."""
    never = jnp.zeros(num_envs, bool)
    return Buffer(
        ring.init(capacity // num_envs, num_envs, OBS, ACTION, store_next_obs),
        lambda replay, row: ring.add(replay, row, never, never),
        lambda replay, key: (replay, ring.sample(replay, key, (1, minibatch))),
    )


def brax_queue(capacity: int, num_envs: int, minibatch: int) -> Buffer:
    """Make Brax's queue, as its SAC uses it."""
    from brax.training.replay_buffers import UniformSamplingQueue

    item = jax.tree.map(lambda x: x[0], row_of(1))
    queue = UniformSamplingQueue(capacity, item, minibatch)
    state = queue.init(jax.random.key_data(jax.random.key(0)))
    return Buffer(state, queue.insert_internal, lambda state, key: queue.sample_internal(state))


def flashbax_items(capacity: int, num_envs: int, minibatch: int) -> Buffer:
    """Make flashbax's buffer of single transitions. Raises ImportError without flashbax."""
    import flashbax

    item = jax.tree.map(lambda x: x[0], row_of(1))
    buffer = flashbax.make_item_buffer(capacity, num_envs, minibatch, add_batches=True)
    return Buffer(
        buffer.init(item),
        buffer.add,
        lambda state, key: (state, buffer.sample(state, key).experience),
    )


PUBLIC = {"this ring": our_ring, "Brax's queue": brax_queue, "flashbax": flashbax_items}


def row_of(num_envs: int) -> Transition:
    """Make one transition of every environment."""
    obs = jnp.ones((num_envs, OBS))
    ones = jnp.ones(num_envs)
    return Transition(obs, jnp.ones((num_envs, ACTION)), ones, ones, obs)


def filled(buffer: Buffer, writes: int, num_envs: int) -> Any:
    """Write `writes` rows into a buffer."""
    row = row_of(num_envs)
    fill = jax.jit(
        lambda s: jax.lax.fori_loop(0, writes, lambda _, s: buffer.add(s, row), s), donate_argnums=0
    )
    return fill(buffer.state)


def loop(
    name: str, state: Any, body: Callable[[Any, jax.Array], Any], calls: int
) -> timing.Contender:
    """Make `calls` calls of body: (state, key) -> (state, anything), the state donated on."""
    holder = [state]
    keys = jax.random.split(jax.random.key(0), calls)
    compiled = jax.jit(lambda s, keys: jax.lax.scan(body, s, keys), donate_argnums=0)

    def call() -> Any:
        holder[0], out = compiled(holder[0], keys)
        return holder[0], out

    return timing.Contender(name, call, calls)


def writes(name: str, capacity: int, num_envs: int, calls: int) -> timing.Contender:
    """Make single writes into a full ring."""
    buffer = our_ring(capacity, num_envs, 1)
    row = row_of(num_envs)
    state = filled(buffer, capacity // num_envs, num_envs)
    return loop(name, state, lambda s, key: (buffer.add(s, row), None), calls)


def draws(name: str, store_next_obs: bool) -> timing.Contender:
    """Make minibatches of MINIBATCH from a full ring of LARGE."""
    num_envs = 256
    buffer = our_ring(LARGE, num_envs, MINIBATCH, store_next_obs)
    state = filled(buffer, LARGE // num_envs + 1, num_envs)

    def draw(replay: ring.Replay, key: jax.Array) -> tuple[ring.Replay, jax.Array]:
        drawn = jax.lax.optimization_barrier(buffer.sample(replay, key)[1])
        return replay, jax.tree.map(lambda x: x[0, 0], drawn)  # of every leaf, or it is left out

    return loop(name, state, draw, 10)


def seeds(name: str, make: Callable[..., Buffer]) -> timing.Contender:
    """Make write and draw of SEEDS seeds under a vmap, one environment each, rings full."""
    buffer = make(SEED_CAPACITY, 1, SEED_MINIBATCH)
    row = row_of(1)
    states = jax.tree.map(lambda x: jnp.stack([x] * SEEDS), filled(buffer, SEED_CAPACITY + 1, 1))

    def step(states: Any, key: jax.Array) -> tuple[Any, Any]:
        states = jax.vmap(buffer.add, (0, None))(states, row)
        states, drawn = jax.vmap(buffer.sample)(states, jax.random.split(key, SEEDS))
        return states, jax.tree.map(jnp.sum, drawn)

    return loop(name, states, step, 20)


def measure(options: Options) -> None:
    """Run the suite."""
    timing.pin(options.one_core)
    inserts = write_timings(options.repeats)
    samples = timing.side_by_side(draw_contenders(), options.repeats)
    vmapped, missing = seed_timings(options.repeats)
    *copies, draw, _ = samples
    transition = 4 * ring.width(OBS, ACTION)
    bandwidths = [2 * LARGE * transition / copy.median for copy in copies]
    shares = [2 * MINIBATCH * transition / draw.median / each for each in bandwidths]
    lines = [
        f"Transitions of {OBS} + {ACTION} + 2 + {OBS} floats, {timing.cores()} core(s).",
        "",
        f"One write into a full ring of {SMALL:,} or {LARGE:,} transitions.",
        "",
        timing.table(inserts, "us", 1e6),
        "",
        f"{MINIBATCH:,} of {LARGE:,} ({LARGE * transition / 1e9:.2f} GB) at random, beside two "
        f"copies of the whole ring: into new memory {bandwidths[0] / 1e9:.1f} GB/s read and "
        f"written, in place {bandwidths[1] / 1e9:.1f} GB/s. A draw has {shares[0]:.0%} and "
        f"{shares[1]:.0%} of that.",
        "",
        timing.table(samples),
        "",
        f"Write and draw {SEED_MINIBATCH} of {SEED_CAPACITY:,}, one environment, vmap of {SEEDS} "
        "seeds.",
        "",
        timing.table(vmapped),
        *missing,
        "",
        f"A million transitions take {ring.nbytes(10**6, OBS, ACTION) / 1e6:.0f} MB, or "
        f"{ring.nbytes(10**6, OBS, ACTION, False) / 1e6:.0f} MB without next_obs.",
    ]
    more = {"copy_bytes_per_s": bandwidths, "draw_share_of_copy": shares}
    timing.report_suite(
        options.out, "replay", [*inserts, *samples, *vmapped], "\n".join(lines), more
    )


def write_timings(repeats: int) -> list[timing.Timing]:
    """Time writes into a small and a large ring, of one row of 1 and of 256 environments."""
    made = [
        writes(f"{capacity:,}, rows of {num_envs}", capacity, num_envs, 2_000)
        for num_envs in (1, 256)
        for capacity in (SMALL, LARGE)
    ]
    return timing.side_by_side(made, repeats)


def draw_contenders() -> list[timing.Contender]:
    """Make copies of the large ring, and minibatches of it with and without stored next_obs."""
    data = our_ring(LARGE, 256, 1).state.data
    # To add 0.0 is not the identity (it turns -0.0 into 0.0), so it is not left out.
    copy = jax.jit(lambda x: x + 0.0)
    return [
        timing.Contender("copy of the ring into new memory", lambda: copy(data)),
        loop(
            "copy of the ring in place",
            data + 0.0,
            lambda x, key: (x + jax.random.uniform(key), None),
            2,
        ),
        draws("draw", store_next_obs=True),
        draws("draw, next_obs from the row after", store_next_obs=False),
    ]


def seed_timings(repeats: int) -> tuple[list[timing.Timing], list[str]]:
    """Time the public buffers beside ours. -> timings, and a line for each that is not there."""
    made, missing = [], []
    for name, make in PUBLIC.items():
        try:
            made.append(seeds(name, make))
        except ImportError as error:
            missing.append(f"\n{name}: skipped, not installed ({error}).")
    return timing.side_by_side(made, repeats), missing
