"""How each part is measured: everything is compiled first, and measured at the part's turn."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import jax

import envs
from envs.locomotion.robots import ROBOTS
from experiments.throughput import timing
from experiments.throughput.accelerator.kernel_trace import trace
from experiments.throughput.suites import (
    diversity_kernel,
    drac_update,
    env_steps,
    replay_ring,
)
from experiments.throughput.suites.training import iteration


class Row(NamedTuple):
    """One figure: what, its median, the least and the most of the repeats, and its unit."""

    what: str
    value: float
    least: float
    most: float
    unit: str


class Found(NamedTuple):
    """What a part found: rows of the table, and what else is written down."""

    rows: list[Row]
    more: dict[str, Any]


class Request(NamedTuple):
    """What a part is told: how often to repeat, and the interpreter that has PyTorch."""

    repeats: int
    torch_python: str | None


Measure = Callable[[], Found]
Prepare = Callable[[Request], Measure]
# One contender, and what to make of its seconds per unit: (what, unit, factor, is it a rate).
Figure = tuple[timing.Contender, str, str, float, bool]


def warm(contenders: list[timing.Contender]) -> dict[str, float]:
    """Compile all contenders at once. -> the seconds of each one's first call, beside the
    others'."""

    def first(contender: timing.Contender) -> float:
        began = time.perf_counter()
        jax.block_until_ready(contender.call())
        return time.perf_counter() - began

    with ThreadPoolExecutor(8) as pool:
        return {c.name: s for c, s in zip(contenders, pool.map(first, contenders), strict=True)}


def figures(made: list[Figure], repeats: int) -> Measure:
    """Compile the contenders, and measure them in turn; each is profiled once at the end."""
    contenders = [figure[0] for figure in made]
    firsts = warm(contenders)

    def measure() -> Found:
        timings = timing.side_by_side(contenders, repeats)
        rows = [_row(t, *figure[1:]) for t, figure in zip(timings, made, strict=True)]
        seconds = {t.name: t.seconds for t in timings}
        traces = {c.name: _trace(c) for c in contenders}
        return Found(rows, {"first_calls_s": firsts, "seconds": seconds, "traces": traces})

    return measure


def _row(measured: timing.Timing, what: str, unit: str, factor: float, rate: bool) -> Row:
    values = sorted(factor / s if rate else factor * s for s in measured.seconds)
    median = factor / measured.median if rate else factor * measured.median
    return Row(what, median, values[0], values[-1], unit)


def _trace(contender: timing.Contender) -> Any:
    """Profile a contender; a profiler that fails must not cost the figures."""
    try:
        found = trace(contender.call)
    except Exception as error:
        return str(error)
    if found is None:
        return None
    return {"kernels_per_unit": found.kernels / contender.units, **found._asdict()}


def simulation(name: str, sizes: tuple[int, ...], steps: int, **options: Any) -> Prepare:
    """Measure env steps per second of an environment alone, for numbers of environments."""

    def prepare(request: Request) -> Measure:
        env = envs.make(name, **options)
        made: list[Figure] = []
        for size in sizes:
            title = f"{env.spec.name} {options.get('impl', '')} x {size:,}".replace("  ", " ")
            contender = env_steps.contender(title, env, size, steps)
            made.append((contender, title, "env steps/s", 1.0, True))
        inner = figures(made, request.repeats)

        def measure() -> Found:
            found = inner()
            if name not in ROBOTS:
                return found
            skip = ROBOTS[name](False).frame_skip
            physics = [
                Row(r.what, r.value * skip, r.least * skip, r.most * skip, "physics steps/s")
                for r in found.rows
            ]
            return Found(found.rows + physics, found.more)

        return measure

    return prepare


def update(
    options: drac_update.Options, contenders: list[tuple[str, Any]], beside_torch: bool = True
) -> Prepare:
    """Measure one update of DrAC, and PyTorch's beside it."""

    def prepare(request: Request) -> Measure:
        python = request.torch_python if beside_torch else None
        told = replace(options, torch_python=python)
        made: list[Figure] = [
            (drac_update.contender(e, p, told), f"update, {e}, {p}", "us", 1e6, False)
            for e, p in contenders
        ]
        theirs, ends, facts = drac_update.torch_contenders(told)
        inner = figures(made, request.repeats)

        def measure() -> Found:
            found = inner()
            timings = timing.side_by_side(theirs, request.repeats)
            for end in ends:
                end()
            rows = [_row(t, f"update, {t.name}", "us", 1e6, False) for t in timings]
            return Found(found.rows + rows, found.more | {"torch": facts})

        return measure

    return prepare


def training(name: str, preset: str, iterations: int, filled: int = 0, **changes: Any) -> Prepare:
    """Measure env steps per second of whole training, beside the simulation alone and the updates
    alone. filled: transitions in the replay before; changes: to the preset."""

    def prepare(request: Request) -> Measure:
        setup = iteration.short_setup(name, preset, iterations, filled, **changes)
        train, title = setup.config.train, f"{name}, {preset}"
        steps = float(train.num_envs * train.steps_per_iteration)
        made: list[Figure] = [
            (iteration.epoch(title, setup), f"{title}: all", "env steps/s", steps, True),
            (
                iteration.updates("update", setup),
                f"{title}: one update",
                "us",
                1e6,
                False,
            ),
            (
                env_steps.contender("simulation", setup.env, train.num_envs, iterations),
                f"{title}: simulation alone",
                "env steps/s",
                1.0,
                True,
            ),
        ]
        inner = figures(made, request.repeats)

        def measure() -> Found:
            found = inner()
            share = 100 * found.rows[0].value / found.rows[2].value
            rows = [*found.rows, Row(f"{title}: share of simulation", share, share, share, "%")]
            return Found(rows, found.more | {"train": asdict(train)})

        return measure

    return prepare


def members(name: str, preset: str, seeds: int, iterations: int, **changes: Any) -> Prepare:
    """Measure the iterations of many seeds that train at once. changes: to the preset."""

    def prepare(request: Request) -> Measure:
        setup = iteration.short_setup(name, preset, iterations, seeds=seeds, **changes)
        title = f"{seeds} seeds of {name}, {preset}, {setup.config.algorithm.precision}"
        one: Figure = (iteration.epoch(title, setup), title, "seed-iterations/s", 1.0, True)
        return figures([one], request.repeats)

    return prepare


def methods(names: tuple[str, ...], preset: str, calls: int) -> Prepare:
    """Measure one update of each method on the same task."""

    def prepare(request: Request) -> Measure:
        setups = {name: iteration.short_setup(name, preset, calls) for name in names}
        made: list[Figure] = [
            (iteration.updates(name, setup), f"update, {name}, {preset}", "us", 1e6, False)
            for name, setup in setups.items()
        ]
        return figures(made, request.repeats)

    return prepare


def kernels(options: diversity_kernel.Options) -> Prepare:
    """Measure the diversity kernel beside a copy of its input."""

    def prepare(request: Request) -> Measure:
        made = diversity_kernel.contenders(
            options.samples, options.batch, options.action_size, options.calls
        )
        return figures(
            [(c, f"diversity, {c.name}", "us", 1e6, False) for c in made], request.repeats
        )

    return prepare


def replay(num_envs: int) -> Prepare:
    """Measure a minibatch's draw from a large ring beside a copy of the ring."""

    def prepare(request: Request) -> Measure:
        made = [
            *replay_ring.draw_contenders(),
            replay_ring.writes("write of a row", replay_ring.LARGE, num_envs, 200),
        ]
        rows: list[Figure] = [(c, f"replay, {c.name}", "us", 1e6, False) for c in made]
        return figures(rows, request.repeats)

    return prepare
