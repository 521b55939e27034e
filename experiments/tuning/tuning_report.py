"""What a tuning run found: a table, the best values as a config, and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drac_jax.figures import method_table, plots
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.experiment import RunConfig
from drac_jax.runs.storage import run_folder
from experiments.tuning.search_space import with_point
from experiments.tuning.shared_study import SharedStudy

BEST, TABLE, SLICES, IMPORTANCE = "best.json", "tuning.md", "slices.png", "importance.png"
ROWS = 10  # of the table
MEASURES = {"eval/return": "return", "eval/reachable_modes": "goals", "eval/arrival_rate": "arrive"}


def rows(shared: SharedStudy, measure: str) -> list[list[str]]:
    """Make the table of the best trials, its heading first. The objective has its smallest and
    largest seed behind it where there are several."""
    trials = shared.best()[:ROWS]
    names = [span.name for span in shared.plan.spans]
    shown = {n: t for n, t in MEASURES.items() if trials and n in trials[0].user_attrs}
    heading = [
        "trial",
        measure.removeprefix("eval/"),
        *names,
        *(f"last {t}" for t in shown.values()),
    ]
    table = [heading]
    for trial in trials:
        values = [f"{trial.params[name]:.4g}" for name in names]
        last = [f"{trial.user_attrs[name]:.3g}" for name in shown]
        table.append([str(trial.number), _with_spread(trial), *values, *last])
    return table


def _with_spread(trial: Any) -> str:
    seeds = trial.user_attrs.get("by_seed", [])
    spread = f" ({min(seeds):.4g} - {max(seeds):.4g})" if len(seeds) > 1 else ""
    return f"{trial.value:.4g}{spread}"


def count_states(shared: SharedStudy) -> str:
    """Say what became of the trials: 64 trials: 60 to the end, 3 pruned, 1 broke down."""
    states = [trial.state.name for trial in shared.finished()]
    words = {"COMPLETE": "to the end", "PRUNED": "pruned", "FAIL": "broke down"}
    parts = [f"{states.count(s)} {word}" for s, word in words.items() if s in states]
    return f"{len(states)} trials: {', '.join(parts) or 'none is finished'}"


def write_best(shared: SharedStudy, identity: dict[str, Any], config: RunConfig) -> None:
    """Write best.json, a run's config with the best trial's values: `run --config` takes it."""
    if not (trials := shared.best()):
        return
    best = trials[0]
    found = {"trial": best.number, "value": best.value, "hparams": best.params}
    found |= {name: value for name, value in best.user_attrs.items() if name.startswith("eval/")}
    content = identity | {"config": exp.to_dict(with_point(config, best.params)), "tuned": found}
    run_folder.write_json(shared.folder / BEST, content)


def write(shared: SharedStudy, measure: str, title: str, command: str) -> None:
    """Write tuning.md and draw the pictures, where there is a trial to show."""
    table = rows(shared, measure)
    said = [f"# {title}", f"`{command}`", count_states(shared), method_table.markdown(table)]
    (shared.folder / TABLE).write_text("\n\n".join(said) + "\n")
    if shared.best():
        draw_slices(shared, measure, shared.folder / SLICES)
        draw_importance(shared, measure, shared.folder / IMPORTANCE)


def draw_slices(shared: SharedStudy, measure: str, path: Path) -> None:
    """Draw the objective against every searched value, a dot per trial, later ones darker."""
    trials, spans = shared.best(), shared.plan.spans
    columns = min(4, len(spans))
    lines = -(-len(spans) // columns)
    figure, axes = plots.panels(lines, columns, (3.6 * columns + 0.6, 2.9 * lines + 0.3))
    values, order = [t.value for t in trials], [t.number for t in trials]
    for axis, span in zip(axes.flat, spans, strict=False):
        given = [trial.params[span.name] for trial in trials]
        dots = axis.scatter(given, values, c=order, cmap="Blues", s=22, ec="#555555", lw=0.4)
        axis.plot(given[0], values[0], "*", color=plots.COLOURS[1], ms=13)
        axis.set_xlabel(span.name)
        if span.log:
            _log_scale(axis)
        axis.grid(alpha=0.25)
    for axis in axes.flat[len(spans) :]:
        axis.set_axis_off()
    axes[0, 0].set_ylabel(_name(measure))
    if len(set(order)) > 1:
        figure.colorbar(dots, ax=axes, label="trial")
    figure.suptitle("dots: trials trained to the end; star: the best", fontsize=9)
    plots.save(figure, path)


def _log_scale(axis: Any) -> None:
    """Label 1, 2 and 5 of every decade: the bounds are often less than one apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def draw_importance(shared: SharedStudy, measure: str, path: Path) -> None:
    """Draw the best value so far over the trials, and each searched value's importance."""
    figure, axes = plots.panels(1, 2, (8.6, 3.0))
    history, bars = axes.flat
    trials = sorted(shared.best(), key=lambda t: t.number)
    numbers, values = [t.number for t in trials], [t.value for t in trials]
    so_far = np.minimum.accumulate if shared.plan.minimize else np.maximum.accumulate
    history.plot(numbers, values, "o", color=plots.COLOURS[0], alpha=0.5, ms=4)
    history.step(numbers, so_far(values), where="post", color=plots.COLOURS[1], lw=1.8)
    history.set(xlabel="trial", ylabel=_name(measure), title="line: the best so far")
    history.grid(alpha=0.25)
    _draw_bars(bars, shared.importances(), [span.name for span in shared.plan.spans])
    plots.save(figure, path)


def _draw_bars(axis: Any, importances: dict[str, float], names: Sequence[str]) -> None:
    if not importances:
        axis.set_axis_off()
        axis.set_title("importance: too few different trials", fontsize=10)
        return
    order = sorted(names, key=lambda name: importances.get(name, 0.0))
    axis.barh(order, [importances.get(n, 0.0) for n in order], color=plots.COLOURS[0])
    axis.set(xlim=(0, 1), xlabel="share", title="importance (PED-ANOVA)")
    axis.grid(alpha=0.25, axis="x")


def _name(measure: str) -> str:
    return plots.CURVES.get(measure, measure.removeprefix("eval/").replace("_", " "))
