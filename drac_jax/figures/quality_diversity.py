"""Quality and diversity of methods at several temperatures: points, boxes and hypervolumes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drac_jax.figures import method_table, plots
from drac_jax.measures import hypervolume, seed_statistics

QUALITY, DIVERSITY = "eval/return", "eval/diversity"
CAPTION = (
    "Hypervolume: the area that a seed's points of all temperatures, (return, diversity), dominate "
    "above the least return and the least diversity of any point of the comparison; mean over the "
    "seeds with a 95 % bootstrap interval."
)
Seeds = Sequence[Mapping[str, Any]]


def is_measured(methods: Mapping[str, Seeds]) -> bool:
    """Say whether every member has a diversity beside its return."""
    return all(DIVERSITY in seed for seeds in methods.values() for seed in seeds)


def hypervolumes(methods: Mapping[str, Seeds]) -> dict[str, list[float]]:
    """Compute the hypervolume of each method's seeds, above the worst of all points."""
    reference = np.min([_points(seeds).min(axis=0) for seeds in methods.values()], axis=0)
    return {
        name: [
            hypervolume.hypervolume(_points([s for s in seeds if s["seed"] == number]), reference)
            for number in sorted({s["seed"] for s in seeds})
        ]
        for name, seeds in methods.items()
    }


def table(methods: Mapping[str, Seeds]) -> list[list[str]]:
    """Make the rows of the table, the heading first."""
    rows = [["method", "seeds", "hypervolume"]]
    for name, volumes in hypervolumes(methods).items():
        estimate = seed_statistics.estimate(volumes, seed_statistics.mean)
        rows.append([name, str(len(volumes)), method_table.number(estimate)])
    return rows


def draw(methods: Mapping[str, Seeds], title: str, path: Path) -> None:
    """Draw every member as a point of return and diversity, and boxes of both by method and
    temperature."""
    figure, axes = plots.panels(1, 3, (13.5, 4.2))
    scatter, *boxes = axes.flat
    settings = method_table.by_setting(methods)
    colours = {m: plots.COLOURS[i % len(plots.COLOURS)] for i, m in enumerate(methods)}
    for name, seeds in methods.items():
        points = _points(seeds)
        scatter.plot(*points.T, "o", color=colours[name], alpha=0.75, ms=5, label=name)
    scatter.set(xlabel="return", ylabel="diversity, tiles that differ", title="each member")
    scatter.legend(fontsize=8, frameon=False)
    for axis, measure in zip(boxes, (QUALITY, DIVERSITY), strict=True):
        values = [[seed[measure] for seed in seeds] for seeds in settings.values()]
        drawn = axis.boxplot(values, orientation="horizontal", patch_artist=True, widths=0.6)
        for box, name in zip(drawn["boxes"], settings, strict=True):
            box.set(facecolor=colours[name.partition(",")[0]], alpha=0.5)
        axis.set_yticks(range(1, len(settings) + 1), settings, fontsize=7)
        axis.invert_yaxis()
        axis.set_title(measure.removeprefix("eval/"))
    for axis in axes.flat:
        axis.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    plots.save(figure, path)


def _points(seeds: Seeds) -> np.ndarray:
    return np.array([[seed[QUALITY], seed[DIVERSITY]] for seed in seeds])
