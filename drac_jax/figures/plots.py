"""Pictures of a run: learning curves, trajectories on the map, sweeps."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from drac_jax.types import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A colour-blind-safe cycle (Okabe and Ito, 2008); episodes that reach no goal are grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
NO_GOAL = "#9a9a9a"
CURVES = {
    "eval/return": "return",
    "eval/diversity": "diversity of levels, tiles",
    "eval/reachable_modes": "goals reached",
    "eval/multi_goal_score": "multi-goal score",
    "eval/arrival_rate": "episodes that arrive",
    "actor/beta_reached": "diversity reached, exp(D) / sqrt(A)",
    "alpha/value": "alpha",
}
MAX_PANELS = 12


def curves(
    records: Sequence[Mapping[str, Any]],
    title: str,
    path: Path,
    x: str = "env_steps",
    ceiling: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Draw one panel per measure over `x`: thin lines for the members, thick the median.

    ceiling: the most that a measure can be, dashed, where that is known.
    """
    shown = [name for name in CURVES if any(r.get(name) is not None for r in records)]
    columns = 4 if len(shown) == 4 else 3
    rows = -(-len(shown) // columns)
    size = (3.6 * columns, 2.9 * rows + 0.4)
    figure, axes = panels(rows, columns, size)
    values = sorted({r[x] for r in records})
    for axis, name in zip(axes.flat, shown, strict=False):
        table = by_member(records, name, x, values)
        axis.plot(values, table.T, color=COLOURS[0], alpha=0.35, lw=0.8)
        axis.plot(values, np.nanmedian(table, axis=0), color=COLOURS[0], lw=2)
        if name in ceiling:
            axis.axhline(ceiling[name], color=NO_GOAL, lw=1, ls="--")
        axis.set_title(CURVES[name], fontsize=10)
        axis.set_xlabel(x.replace("_", " "), fontsize=8)
        axis.grid(alpha=0.25)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    dashed = ", dashed: the most that can be seen" if ceiling else ""
    figure.suptitle(f"{title} (thin: {len(table)} member(s), thick: median{dashed})", fontsize=11)
    save(figure, path)


def by_member(records: Sequence[Mapping], name: str, x: str, values: Sequence[int]) -> np.ndarray:
    """Arrange a measure as [members, values of x]; NaN where there is none."""
    labels = list(dict.fromkeys(r["member"] for r in records))
    table = np.full((len(labels), len(values)), np.nan)
    for record in records:
        value = record.get(name)
        at = labels.index(record["member"]), values.index(record[x])
        table[at] = np.nan if value is None else value
    return table


def trajectories(
    scenes: Sequence[Scene],
    paths: Iterable[ArrayLike],
    goals: Iterable[ArrayLike],
    titles: Sequence[str],
    path: Path,
) -> None:
    """Draw sampled episodes on their maps, coloured by the goal they reached, a panel per map.

    scenes: [panels], with the same bounds; paths: panels of [N, T + 1, O], whose first two numbers
    are the position; goals: panels of [N]. N and T may differ between panels.
    """
    count = min(len(scenes), MAX_PANELS)
    rows = -(-count // 4)
    columns = -(-count // rows)
    x_min, x_max, y_min, y_max = scenes[0].bounds
    width = 4.6 if count == 1 else 3.2
    lines = 1 + max(title.count("\n") for title in titles)
    height = width * (y_max - y_min) / (x_max - x_min) + 0.2 + 0.2 * lines
    figure, axes = panels(rows, columns, (width * columns, height * rows))
    for axis in axes.flat:
        axis.set_axis_off()
    shown = zip(axes.flat, scenes, paths, goals, titles, strict=False)
    for axis, scene, ways, reached, title in shown:
        draw_scene(axis, scene)
        _draw_paths(axis, np.asarray(ways)[..., :2], np.asarray(reached))
        axis.set_title(title, fontsize=9)
    save(figure, path)


def count_of_goals(count: int) -> str:
    """Write `1 goal` or `3 goals`."""
    return f"{count} goal{'' if count == 1 else 's'}"


def draw_scene(axis: "Axes", scene: Scene) -> None:
    """Draw walls, numbered goals and the start."""
    from matplotlib.patches import Rectangle

    x_min, x_max, y_min, y_max = scene.bounds
    axis.set(xlim=(x_min, x_max), ylim=(y_min, y_max), aspect="equal")
    frame = Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, fc="none", ec="#bbbbbb")
    axis.add_patch(frame)
    for x0, y0, x1, y1 in scene.walls:
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fc="#4a4a4a", ec="none"))
    for number, (x, y) in enumerate(scene.goals, start=1):
        axis.add_patch(_goal_patch(scene, x, y, COLOURS[(number - 1) % len(COLOURS)]))
        axis.annotate(str(number), (x, y), ha="center", va="center", fontsize=8, zorder=5)
    axis.plot(*scene.start, "o", ms=5, color="black", zorder=6)


def _goal_patch(scene: Scene, x: float, y: float, colour: str) -> Any:
    from matplotlib.patches import Circle, Rectangle

    r = scene.goal_radius
    style: dict[str, Any] = {"fc": colour, "alpha": 0.35, "ec": colour}
    if scene.goal_shape == "circle":
        return Circle((x, y), r, **style)
    return Rectangle((x - r, y - r), 2 * r, 2 * r, **style)


def _draw_paths(axis: "Axes", paths: np.ndarray, goals: np.ndarray) -> None:
    for way, goal in zip(paths, goals, strict=True):
        colour = COLOURS[(goal - 1) % len(COLOURS)] if goal else NO_GOAL
        axis.plot(way[:, 0], way[:, 1], color=colour, lw=0.7, alpha=0.55, zorder=3 if goal else 2)


def sweep(records: Sequence[Mapping[str, Any]], name: str, num_goals: int, path: Path) -> None:
    """Draw goals, arrivals and score against a swept value: dots for seeds, a line for medians.

    records: final evaluations, one per member, with `name` among their fields.
    """
    measures = ["eval/reachable_modes", "eval/arrival_rate", "eval/multi_goal_score"]
    if not num_goals:
        measures = ["eval/return", *(["eval/diversity"] if "eval/diversity" in records[0] else [])]
    values = sorted({r[name] for r in records})
    spread = 0.01 * (values[-1] - values[0])
    size = (3.7 * len(measures), 3.0)
    figure, axes = panels(1, len(measures), size)
    for axis, measure in zip(axes.flat, measures, strict=True):
        groups = [[r[measure] for r in records if r[name] == value] for value in values]
        for value, group in zip(values, groups, strict=True):
            jitter = np.linspace(-spread, spread, len(group)) if len(group) > 1 else [0.0]
            axis.plot(value + np.asarray(jitter), group, "o", color=COLOURS[0], alpha=0.45, ms=4)
        axis.plot(values, [np.median(g) for g in groups], "-", color=COLOURS[1], lw=1.8)
        axis.set(xlabel=name, title=CURVES[measure])
        axis.grid(alpha=0.25)
    figure.suptitle(f"dots: seeds; line: median of {len(groups[0])}", fontsize=9)
    save(figure, path)


def panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """Start a figure of rows x columns axes. size: inches."""
    # Here, because importing Matplotlib takes a second, which a run need not wait for to begin.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Write a figure, and forget it."""
    figure.savefig(path, dpi=130)
    forget(figure)


def forget(figure: Any) -> None:
    """Free a figure's memory."""
    from matplotlib import pyplot

    pyplot.close(figure)
