"""Any environment by its name, with any method: `<method>-on-<environment>`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any

from tyro.conf import arg

import envs
from drac_jax.algorithms import DacerHParams, DracHParams, SacHParams
from drac_jax.algorithms.registry import METHODS, DracOptions
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, RunConfig
from drac_jax.training.schedule import TrainConfig
from drac_jax.types import Environment
from envs.foreign.signatures import REQUIRED, Option, Options
from experiments.tasks.every_method import Setting, every_method
from experiments.tasks.locomotion_tasks import several_environments

ON = "-on-"  # between the method and the environment of a name
_LAST: dict[str, Environment] = {}
ON_THE_HOST = ("gymnasium:",)  # simulators that no accelerator speeds up


@dataclass(frozen=True)
class NamedOptions:
    """Options of an environment that is named on the command line."""

    name: str  # library:name, module:function, file.py or file.py:function
    # Its constructor judges its numbers: `steps` or `alpha` may mean anything there.
    ranged = False


def name_of(method: str, environment: str) -> str:
    """Name the experiment of a method on a named environment. Raises ValueError for an unknown
    method."""
    if method not in METHODS:
        near = get_close_matches(method, METHODS, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"method {method!r} is unknown; {advice}use one of {', '.join(METHODS)}")
    return f"{method}{ON}{environment}"


def is_of_any(name: str) -> bool:
    """Say whether a name is one that `name_of` gives."""
    return name.partition(ON)[0] in METHODS and ON in name


@cache
def experiment_of(name: str) -> Experiment:
    """Make the experiment of a name of `name_of`, without making its environment: target entropies
    are the methods' own until `fitted`. Raises ValueError for an unknown environment."""
    method, _, environment = name.partition(ON)
    kind = _options_type(environment, envs.options_of(environment))
    return _experiments(environment, kind(environment), None)[method]


def fitted(experiment: Experiment, options: Any) -> Experiment:
    """Take the target entropies that the environment's actions ask for. options: those that it is
    made with."""
    size = _make(options).spec.action_size
    method, _, environment = experiment.name.partition(ON)
    return _experiments(environment, options, size)[method]


def make_env(options: Any, obstacles: bool) -> Environment:
    """Make the environment, which has no obstacles."""
    return _make(options)


def _make(options: Any) -> Environment:
    """Make an environment, or take the one that was made last, with the same options."""
    given = {path: value for path, value, default in _values(options) if value != default}
    key = repr((options.name, given))  # options may be dicts, which have no hash
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = envs.make(options.name, **given)
    return _LAST[key]


def _values(options: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield every option's full name, value and default; the environment's name is none."""
    for one in fields(options):
        value = getattr(options, one.name)
        if is_dataclass(value):
            yield from _values(value, f"{path}{one.name}.")
        elif path or one.name != "name":
            yield path + one.name, value, one.default


def _options_type(name: str, options: Options, base: type = NamedOptions) -> Any:
    """Make the dataclass of an environment's options."""
    columns: list[Any] = []
    for key, option in options.items():
        if isinstance(option, Option):
            if option.default is REQUIRED:
                raise ValueError(
                    f"{name} needs {key}, which has no default; give it one in its code"
                )
            kind = Annotated[option.kind, arg(help=option.help)] if option.help else option.kind
            columns.append((key, kind, field(default=option.default)))
        else:
            inner = _options_type(key, option, object)
            columns.append((key, inner, field(default=inner())))
    made = make_dataclass("Options", columns, bases=(base,), frozen=True)
    made.__doc__ = f"Options of {name}."
    return made


def _experiments(environment: str, options: Any, actions: int | None) -> dict[str, Experiment]:
    """Offer an environment to every method: the presets of the locomotion tasks."""
    # One environment, one update per step.
    default: RunConfig = RunConfig(
        env=options,
        algorithm=DracOptions(),
        hparams=DracHParams(),
        train=TrainConfig(env_steps=1_000_000, epochs=50),
        eval=EvalConfig(episodes=30, final_episodes=100),
    )
    suited = {"cpu": "cpu", "gpu": "cpu" if environment.startswith(ON_THE_HOST) else "gpu"}
    amortized = Experiment(
        name=f"{environment}_amortized",
        summary=environment,
        method="amortized",
        make_env=make_env,
        presets={"default": default, **several_environments(default, options)},
        suited=suited,
    )
    made = every_method(amortized, {} if actions is None else _settings(actions))
    return {one.method: replace(one, name=name_of(one.method, environment)) for one in made}


def _settings(actions: int) -> Mapping[str, Setting]:
    """State what depends on the number of actions, as the papers do."""
    return {
        "sac": Setting(SacHParams(target_entropy=-float(actions))),
        "dacer": Setting(DacerHParams(target_entropy=-0.9 * actions)),
    }
