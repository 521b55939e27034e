"""The table of a comparison: a row per method, from the final evaluations of its seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from drac_jax.measures import seed_statistics

Seeds = Sequence[Mapping[str, Any]]
GOALS = "eval/reachable_modes"
MEASURES = {
    "eval/return": "return",
    "eval/diversity": "diversity",
    "eval/diversity_gmean": "geometric diversity",
    "eval/multi_goal_score": "score",
    "eval/arrival_rate": "arrive",
    "eval/removal_sr5": "removal SR5",
    "eval/obstacle_sr5": "obstacle SR5",
}
NOT_SWEPT = ("seed", "member", "epoch", "env_steps", "updates")
CAPTION = (
    "In a cell: the mean over the seeds and, below it, their interquartile mean, with 95 % "
    "bootstrap intervals; one value where all seeds agree."
)


def by_setting(methods: Mapping[str, Seeds]) -> dict[str, Seeds]:
    """Part the results or records of each method by what it was swept over, its temperature:
    `amortized, beta 0.2`. A method without a sweep stays as it is."""
    parted: dict[str, list[Mapping[str, Any]]] = {}
    for method, seeds in methods.items():
        for seed in seeds:
            swept = [f"{k} {v:g}" for k, v in seed.items() if "/" not in k and k not in NOT_SWEPT]
            parted.setdefault(", ".join([method, *swept]), []).append(seed)
    return dict(parted)


def table(methods: Mapping[str, Seeds]) -> list[list[str]]:
    """Make the rows of the table, the heading first; a line break parts mean and IQM.

    methods: name -> the final evaluations of its seeds (`seeds` of a run's summary). Measures of
    goals appear where a method has them.
    """
    known = {name for seeds in methods.values() for seed in seeds for name in seed}
    measures = [name for name in MEASURES if name in known]
    goals = [GOALS] if GOALS in known else []
    heading = ["method", "seeds", *("goals" for _ in goals), *(MEASURES[n] for n in measures)]
    rows = [
        [method, str(len(seeds))]
        + [", ".join(str(seed.get(name, "-")) for seed in seeds) for name in goals]
        + [_cell([seed[name] for seed in seeds if name in seed]) for name in measures]
        for method, seeds in methods.items()
    ]
    return [heading, *rows]


def markdown(rows: Sequence[Sequence[str]], align: str = "---:") -> str:
    """Write rows as a Markdown table. align: of all but the first column, to the right unless
    given."""
    cells = [[cell.replace("\n", "<br>") for cell in row] for row in rows]
    rule = ["---", *(align for _ in cells[0][1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], rule, *cells[1:]])


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    estimates = [
        seed_statistics.estimate(values, f) for f in (seed_statistics.mean, seed_statistics.iqm)
    ]
    lines = [number(estimate) for estimate in estimates]
    return lines[0] if estimates[0].interval is None else "\n".join(lines)


def number(estimate: seed_statistics.Estimate) -> str:
    """Write 12,345 or 0.97, and its interval with as many digits: 0.97 [0.93, 1.00]."""
    ends = estimate.interval or ()
    form = ",.0f" if max(map(abs, (estimate.value, *ends))) >= 100.0 else ".2f"
    between = f" [{', '.join(format(end, form) for end in ends)}]" if ends else ""
    return format(estimate.value, form) + between
