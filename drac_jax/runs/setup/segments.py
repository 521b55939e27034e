"""The segments of a run: a longer budget or other hyperparameters from some epoch on.

`segments` in config.json, oldest first, lists each change: after which epoch (and how many
iterations within the next), and every value as [before, after]. `config` there is the newest.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.training.schedule import TrainConfig, make_schedule

KEY = "segments"  # of config.json
# Fields of the training config that spread something over the whole budget -> where they do not.
FOLLOW_THE_BUDGET = {"lr_schedule": "constant"}
ONLY_AT_FIRST = ("alpha_init",)  # hyperparameters that nothing reads after the start
Record = dict[str, Any]


def extend(
    experiment: Experiment, kept: RunConfig, asked: RunConfig
) -> tuple[RunConfig, list[str]]:
    """Settle the values that a resumed run goes on with. kept: those that it has.

    -> the values, the budget being a whole number of the run's epochs, and notes. Raises ValueError
    for a change of anything but the budget, which can only grow, and the hyperparameters.
    """
    _check_kept(kept, asked)
    if (kept.train.env_steps, kept.train.epochs) == (asked.train.env_steps, asked.train.epochs):
        return asked, []
    spec = experiment.make_env(kept.env, False).spec
    algorithm = exp.method_of(experiment).make(spec, kept.algorithm)
    train = _longer(kept.train, asked.train, algorithm.slow_period)
    notes = []
    if train.env_steps != asked.train.env_steps:
        notes = [
            f"train.env_steps={train.env_steps} in train.epochs={train.epochs}, as long as those "
            f"before: the whole number of epochs that is nearest to what was asked"
        ]
    notes += [
        f"train.{name}={value} follows the budget: from here on it is the longer run's, and what "
        f"was trained before differs from a run that was planned so long"
        for name, plain in FOLLOW_THE_BUDGET.items()
        if (value := getattr(train, name, plain)) != plain
    ]
    return replace(asked, train=train), notes


def _check_kept(kept: RunConfig, asked: RunConfig) -> None:
    steps, epochs = kept.train.env_steps, kept.train.epochs
    train = replace(asked.train, env_steps=steps, epochs=epochs)
    but_for = replace(asked, train=train, hparams=kept.hparams)
    if found := exp.differences(exp.to_dict(kept), exp.to_dict(but_for)):
        raise ValueError(
            f"a resumed run keeps its config: {'; '.join(found)}; only train.env_steps, "
            f"train.epochs and hparams may change; start a new run"
        )
    changed = changes(kept, asked)
    if changed and kept.chunks > 1 and not kept.chunk:
        raise ValueError(
            f"a sweep in chunks keeps its config: {_said(changed)}; go on with one of its chunks, "
            f"--resume FOLDER/chunk_1"
        )
    for name in (*kept.grid, *ONLY_AT_FIRST):
        if f"hparams.{name}" in changed:
            why = "is swept" if name in kept.grid else "only says where a run begins"
            raise ValueError(f"hparams.{name} {why}: it cannot change; start a new run")


def _longer(kept: TrainConfig, asked: TrainConfig, slow_period: int) -> TrainConfig:
    """Add whole epochs to a budget: what the longer run would have done from the start is then,
    until there, what was done. Raises ValueError where that cannot be."""
    for name in ("env_steps", "epochs"):
        if (new := getattr(asked, name)) < (old := getattr(kept, name)):
            raise ValueError(
                f"train.{name}={new} is below {old}, which the run has: it can only grow; start a "
                f"new run"
            )
    schedule = make_schedule(kept, slow_period)
    each = schedule.env_steps(kept, 1) - schedule.env_steps(kept, 0)

    def with_more(epochs: int) -> TrainConfig:
        steps = kept.env_steps + epochs * each
        return replace(kept, env_steps=steps, epochs=kept.epochs + epochs)

    def is_exact(epochs: int) -> bool:
        planned = make_schedule(with_more(epochs), slow_period)
        return planned == schedule._replace(epochs=planned.epochs)

    by_steps = max(1, round((asked.env_steps - kept.env_steps) / each))
    more = asked.epochs - kept.epochs or by_steps
    if more != by_steps and asked.env_steps != kept.env_steps:
        raise ValueError(
            f"train.env_steps={asked.env_steps} is not {asked.epochs} epochs of {each} env steps; "
            f"use train.env_steps={with_more(more).env_steps}, or leave train.epochs out"
        )
    if not is_exact(more):  # rounded to slow updates, a longer budget may have other epochs
        fitting = [with_more(n).env_steps for n in range(more - 1, 0, -1) if is_exact(n)]
        fix = f"use train.env_steps={fitting[0]}, or start" if fitting else "start"
        raise ValueError(
            f"train.epochs={kept.epochs + more} would cut epochs otherwise than the run did, "
            f"because of its slow updates; {fix} a new run"
        )
    return with_more(more)


def changes(before: RunConfig, after: RunConfig) -> dict[str, list[Any]]:
    """Compare what segments may change. -> path: [before, after]."""
    found: dict[str, list[Any]] = {}
    for part in ("train", "hparams"):
        old, new = (exp.to_dict(getattr(config, part)) for config in (before, after))
        found |= {f"{part}.{n}": [old[n], new[n]] for n in old if old[n] != new[n]}
    return found


def recorded(record: Record, like: RunConfig) -> list[RunConfig]:
    """Rebuild the configurations of all segments of a config.json, oldest first. like: as of
    `exp.from_dict`."""
    config = exp.to_dict(exp.from_dict(like, exp.renamed(record["config"])))
    found = [exp.from_dict(like, config)]
    for segment in reversed(record.get(KEY, [])):
        config = config | {part: dict(config[part]) for part in ("train", "hparams")}
        for path, (before, _) in segment["changed"].items():
            part, name = path.split(".")
            config[part][name] = before
        found.append(exp.from_dict(like, config))
    return found[::-1]


def knowing(setup: RunSetup, record: Record) -> RunSetup:
    """Tell a setup the values that the run of this config.json had before. Leaves it as it is where
    the run was meant to keep other values."""
    found = recorded(record, setup.config)
    if found[-1] != setup.config and found[-1] not in setup.former:
        return setup
    return setup._replace(former=tuple(c for c in found if c != setup.config))


def continued(record: Record, setup: RunSetup, written: RunConfig, begun: int) -> Record:
    """Bring a config.json up to date, for a run that goes on with the values of `setup` from a
    checkpoint that was `written` with others, after `begun` iterations."""
    if written == setup.config:
        return record
    known = recorded(record, setup.config)
    before = max(i for i, config in enumerate(known) if config == written)
    epoch, iterations = divmod(begun, setup.schedule.iterations_per_epoch)
    segment: Record = {"after_epoch": epoch} | (
        {"after_iterations": iterations} if iterations else {}
    )
    segment["changed"] = changes(written, setup.config)
    kept = record.get(KEY, [])[:before]
    return record | {"config": exp.to_dict(setup.config), KEY: [*kept, segment]}


def describe(segments: Sequence[Record]) -> str:
    """Say what the last change is."""
    return _said(segments[-1]["changed"])


def _said(changed: dict[str, list[Any]]) -> str:
    return ", ".join(f"{path} from {old} to {new}" for path, (old, new) in changed.items())
