"""An experiment as a value: an environment, a method, and presets of every number."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drac_jax import ranges
from drac_jax.algorithms.registry import METHODS, Method
from drac_jax.training import schedule, sweep
from drac_jax.training.schedule import TrainConfig
from drac_jax.types import Environment, Scene

DEFAULT_PRESET = "default"
FORMER = {"parts": "chunks", "part": "chunk"}  # fields of RunConfig that had other names


@dataclass(frozen=True)
class EvalConfig:
    """Episodes of an evaluation."""

    episodes: int = 30  # after each epoch
    final_episodes: int = 100  # at the end
    sr5_groups: int = 100  # groups of five more episodes at the end, for each SR5


@dataclass(frozen=True)
class RunConfig[EnvOptions, Options, HParams, Grid]:
    """Every value of a run.

    env, algorithm: options of the environment and of the method, static; hparams: floats; grid:
    the swept ones of them, (name -> values).
    """

    env: EnvOptions
    algorithm: Options
    hparams: HParams
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    seeds: int = 1  # how many seeds train at once, from `seed` on, in one program
    seed: int = 0  # the first seed
    checkpoint_every: int = 1  # epochs between checkpoints
    grid: Grid = field(default_factory=dict)  # type: ignore[assignment]
    # Equal groups of members (seeds x grid) that train one after the other; 0 for as few as fit in
    # memory.
    chunks: int = 0
    chunk: int = 0  # the one of these groups that this run trains, from 1; 0 for all


class Perturbed(NamedTuple):
    """M maps in one environment, whose environment i plays map i % M.

    walls: [M], how many were added to each map; scene: (map) -> its plan view.
    """

    env: Environment
    walls: Sequence[int]
    scene: Callable[[int], Scene]


class Study(NamedTuple):
    """What a domain measures and draws of a policy's headline episodes besides their returns.

    measure: (env options, paths [N, T + 1, O]) -> eval/<name>: value. draw: (env options, act,
    paths of one member, folder, a Path), act: (obs [N, O], key) -> action [N, A].
    """

    measure: Callable[[Any, Any], dict[str, float]]
    draw: Callable[[Any, Callable, Any, Any], None]


@dataclass(frozen=True)
class Experiment:
    """What `make run EXP=name` runs.

    make_env: (env options, obstacles) -> Environment; obstacles asks for the variant of the
    obstacle test. method: a name in METHODS. presets: name -> RunConfig. make_perturbed: (env
    options, most walls, maps) -> as many maps with 0, 1, ... most random walls added each.
    study: where returns and goals do not say all. suited: kind of device, as `cpu` -> the preset of
    a run that names none. elsewhere: (env options) -> the name of the same task in Gymnasium.
    """

    name: str
    summary: str
    method: str
    make_env: Callable[[Any, bool], Environment]
    presets: Mapping[str, RunConfig]
    make_perturbed: Callable[[Any, int, int], Perturbed] | None = None
    study: Study | None = None
    suited: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Callable[[Any], str] | None = None

    def config(self, preset: str = DEFAULT_PRESET) -> RunConfig:
        """Look up a preset. Raises ValueError with the names there are."""
        if preset not in self.presets:
            raise ValueError(f"preset={preset!r} is unknown; use one of {', '.join(self.presets)}")
        return self.presets[preset]


def method_of(experiment: Experiment) -> Method:
    """Look up the experiment's method."""
    return METHODS[experiment.method]


def members_of(config: RunConfig) -> sweep.Members:
    """Cross the run's seeds with its grid, and take its chunk of them."""
    seeds = range(config.seed, config.seed + config.seeds)
    everyone = sweep.members(config.hparams, seeds, config.grid)
    return sweep.chunk(everyone, config.chunk, config.chunks) if config.chunk else everyone


def count_members(config: RunConfig) -> int:
    """Count seeds x grid without building them."""
    return config.seeds * math.prod(len(values) for values in config.grid.values())


def check_numbers(config: RunConfig) -> None:
    """Raise ValueError, naming field, value and range, for a number that no run can have."""
    ranges.check(config)
    last = config.seed + config.seeds - 1
    if last > ranges.UINT32:
        raise ValueError(
            f"seed={config.seed} makes the last of {config.seeds} seeds {last}, above "
            f"{ranges.UINT32}; use seed={ranges.UINT32 + 1 - config.seeds} or less"
        )


def check(experiment: Experiment, config: RunConfig, env: Environment) -> list[str]:
    """Validate what depends on the environment and on several values, before anything is compiled.
    `check_numbers` comes first.

    -> warnings. Raises ValueError, naming field, value and fix.
    """
    method = method_of(experiment)
    if config.train.reward_scale != 1.0 and hasattr(config.hparams, "reward_scale"):
        raise ValueError(
            f"train.reward_scale={config.train.reward_scale:g} would multiply hparams.reward_scale="
            f"{config.hparams.reward_scale:g}, which {experiment.method} has; set that one alone"
        )
    schedule.check(config.train, method.make(env.spec, config.algorithm).num_minibatches)
    names = list(config.grid)
    points = {tuple(label.get(n) for n in names) for label in members_of(config).labels}
    warnings: list[str] = []
    for point in sorted(points):
        swept = config.hparams.replace(**dict(zip(names, point, strict=True)))
        warnings += method.check(env.spec, config.algorithm, swept)
    return warnings


def to_dict(config: Any) -> Any:
    """Turn a configuration into what JSON can hold."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {name: to_dict(value) for name, value in config.items()}
    return list(config) if isinstance(config, tuple) else config


def renamed(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a saved RunConfig the names that they have now."""
    return {FORMER.get(name, name): value for name, value in saved.items()}


def from_dict(default: Any, saved: Any) -> Any:
    """Rebuild a configuration of the type of `default` from its JSON form.

    A field that the form does not name has its value in `default`, or the one that the field's
    metadata has as `unnamed`: what was done before there was such a field. Raises ValueError for
    fields that there are not.
    """
    if not dataclasses.is_dataclass(default) or isinstance(default, type):
        if isinstance(default, Mapping):
            return {name: tuple(values) for name, values in saved.items()}
        return tuple(saved) if isinstance(saved, list) else saved
    fields = dataclasses.fields(default)
    if unknown := set(saved) - {f.name for f in fields}:
        raise ValueError(f"field {sorted(unknown)[0]!r} of the saved configuration is unknown")
    unnamed = {f.name: f.metadata["unnamed"] for f in fields if "unnamed" in f.metadata}
    values = unnamed | {
        name: from_dict(getattr(default, name), value) for name, value in saved.items()
    }
    return dataclasses.replace(default, **values)


def differences(saved: Any, asked: Any, path: str = "") -> list[str]:
    """Name the fields in which two JSON forms differ: `train.num_envs=4, not 8`."""
    if not (isinstance(saved, dict) and isinstance(asked, dict)):
        return [] if saved == asked else [f"{path}={saved}, not {asked}"]
    found = []
    for name in sorted(saved.keys() | asked.keys()):
        inner = f"{path}.{name}" if path else name
        found += differences(saved.get(name), asked.get(name), inner)
    return found
