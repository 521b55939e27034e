"""Pictures of a comparison: the learning curves of its methods, and their episodes on the map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drac_jax.figures import plots
from drac_jax.measures import seed_statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {
    "eval/return": None,
    "eval/reachable_modes": None,
    "eval/multi_goal_score": (-0.03, 1.03),
    "eval/arrival_rate": (-0.03, 1.03),
}
Records = Sequence[Mapping[str, Any]]


def curves(methods: Mapping[str, Records], title: str, path: Path) -> None:
    """Draw one panel per measure over env steps, a colour per method, a stroke per temperature: a
    line for the interquartile mean of its seeds, a band for its interval. methods: name, or name
    and temperature (`compare_table.by_setting`) -> records."""
    known = {name for records in methods.values() for r in records for name in r}
    shown = [name for name in PANELS if name in known]
    size = (max(3.6 * len(shown), 5.4), 3.6)
    figure, axes = plots.panels(1, len(shown), size)
    for axis, name in zip(axes.flat, shown, strict=True):
        for records, look in zip(methods.values(), _looks(list(methods)), strict=True):
            _draw_method(axis, records, name, *look)
        axis.set_title(plots.CURVES[name], fontsize=10)
        axis.set_xlabel("env steps", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.set_ylim(PANELS[name])
    handles = axes.flat[0].get_lines()
    labels = [f"{method} ({_count(records)})" for method, records in methods.items()]
    columns = 6 if len(shown) > 1 else 3
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )
    figure.suptitle(
        f"{title}\nline: interquartile mean over seeds, band: its 95 % bootstrap interval",
        fontsize=10,
    )
    plots.save(figure, path)


def _looks(settings: Sequence[str]) -> list[tuple[str, str]]:
    """Choose colour and stroke of each setting: `sac`, or `sac, target_entropy -5`."""
    names = [setting.partition(",")[0] for setting in settings]
    order = list(dict.fromkeys(names))
    strokes = ("-", "--", ":", "-.")
    return [
        (
            plots.COLOURS[order.index(name) % len(plots.COLOURS)],
            strokes[names[:i].count(name) % len(strokes)],
        )
        for i, name in enumerate(names)
    ]


def _draw_method(axis: "Axes", records: Records, name: str, colour: str, stroke: str) -> None:
    steps = sorted({r["env_steps"] for r in records})
    values = plots.by_member(records, name, "env_steps", steps)
    axis.plot(steps, seed_statistics.iqm(values), color=colour, ls=stroke, lw=1.8)
    if (band := seed_statistics.interval(values, seed_statistics.iqm)) is not None:
        axis.fill_between(steps, *band, color=colour, alpha=0.18, lw=0)


def _count(records: Records) -> str:
    count = len({r["member"] for r in records})
    return "1 seed" if count == 1 else f"{count} seeds"


def median_member(seeds: Records) -> int:
    """Choose the member with the median multi-goal score, the lower of two; arrivals and return
    tell equals apart. seeds: final evaluations."""
    order = ("eval/multi_goal_score", "eval/arrival_rate", "eval/return")
    ranks = np.lexsort([[seed[name] for seed in seeds] for name in reversed(order)])
    return int(ranks[(len(seeds) - 1) // 2])


def panel_title(method: str, seed: Mapping[str, Any]) -> str:
    """Say what a panel shows, in two lines."""
    arrive = 100 * seed["eval/arrival_rate"]
    goals = seed["eval/reachable_modes"]
    return f"{method}, seed {seed['seed']}\n{plots.count_of_goals(goals)}, {arrive:.0f} % arrive"
