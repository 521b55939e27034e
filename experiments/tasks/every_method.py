"""Make the experiments of every method on a domain from those of the amortized actor."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from drac_jax.algorithms import DacerHParams, DracHParams, S2acHParams, SacHParams, SqlHParams
from drac_jax.algorithms.registry import METHODS, DacerOptions, DiversityOptions
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.training.schedule import TrainConfig

# What belongs to the loop rather than to a method: a preset that changes them does so for all.
SHARED = ("critic_lr", "gamma", "tau")


@dataclass(frozen=True)
class Setting:
    """A method's values on a domain.

    hparams: its floats; those of the loop follow the preset. None: those of the amortized actor,
    for another actor of DrAC. options: static choices, the method's defaults where None; those of
    networks, critics and DrAC's diversity follow the preset. paper: the values of the preset
    `paper`, where they are others. grid: the temperatures that it trains at by itself.
    """

    hparams: Any = None
    options: Any = None
    paper: "Setting | None" = None
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def every_method(amortized: Experiment, settings: Mapping[str, Setting]) -> list[Experiment]:
    """Offer a task of the amortized actor, `<domain>_amortized`, to the other methods as well:
    the same environment, loop and evaluation. A method without a setting has its own defaults."""
    domain, task = amortized.name.removesuffix("_amortized"), amortized.summary
    defaults = {name: _defaults(name) for name in METHODS if name != amortized.method}
    others = [
        replace(
            amortized,
            name=f"{domain}_{method}",
            method=method,
            presets={
                name: _config(config, method, (name == "paper" and setting.paper) or setting)
                for name, config in amortized.presets.items()
            },
        )
        for method, setting in (defaults | {**settings}).items()
    ]
    return [
        replace(experiment, summary=f"{task}: {METHODS[experiment.method].summary}")
        for experiment in (amortized, *others)
    ]


def maze_settings(layout: str) -> dict[str, Setting]:
    """State the paper's values of the two mazes, point and ant."""
    chain = Setting(DracHParams(beta=0.8))
    return {
        "diffusion": chain,
        "diffusion5": chain,
        "sac": Setting(SacHParams(target_entropy=1.0)),
        "dacer": Setting(
            DacerHParams(target_entropy=1.0),
            DacerOptions(
                squash="tanh",
                mixture_components=8 if layout == "hard" else 4,
                entropy_period=300,
            ),
        ),
        "sql": Setting(SqlHParams(alpha=0.3)),
        "s2ac": Setting(S2acHParams(alpha=0.7)),
    }


def _defaults(method: str) -> Setting:
    hparams = METHODS[method].hparams
    return Setting(None if isinstance(hparams, DracHParams) else hparams)


def _config(config: RunConfig, method: str, setting: Setting) -> RunConfig:
    options = setting.options or METHODS[method].options
    names = [one.name for one in fields(DiversityOptions) if hasattr(options, one.name)]
    shared = {name: getattr(config.algorithm, name) for name in names}
    config = replace(
        config,
        algorithm=replace(options, **shared),
        train=_whole_calls(config.train, METHODS[method].updates_per_call),
    )
    if setting.hparams is None:
        return config
    loop = {name: getattr(config.hparams, name) for name in SHARED}
    return replace(config, hparams=setting.hparams.replace(**loop), grid=setting.grid)


def _whole_calls(train: TrainConfig, updates: int) -> TrainConfig:
    """Let an iteration last as many env steps as one call's updates need, at the same ratio."""
    if train.updates_per_iteration % updates == 0:
        return train
    return replace(
        train,
        steps_per_iteration=updates * train.steps_per_iteration,
        updates_per_iteration=updates * train.updates_per_iteration,
    )
