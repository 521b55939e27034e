"""The values of a comparison: those for all its methods, and those for one."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from drac_jax.runs import saved_agent
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.storage import run_folder
from experiments import find_on
from experiments.cli.options import parsing

Option = list[str]  # a word that starts with two dashes, and its values


class Plan(NamedTuple):
    """What compare.json keeps: the words that the comparison was asked for with."""

    domain: str
    algos: list[str]
    preset: str
    words: list[str]

    def command(self) -> str:
        """Write the command that makes this comparison."""
        words = [self.domain, "--algos", *self.algos, "--preset", self.preset, *self.words]
        return f"{parsing.PROGRAM} compare {shlex.join(words)}"


def settle(
    plan: Plan, experiments: Mapping[str, Experiment], folder: Path | None
) -> dict[str, tuple[RunConfig, str]]:
    """Settle every method's values and name its preset; a method that was begun keeps its own."""
    identities = {
        algo: saved_agent.read_identity(folder / algo)
        for algo in plan.algos
        if folder and (folder / algo / run_folder.CONFIG).exists()
    }
    new = {algo: experiments[algo] for algo in plan.algos if algo not in identities}
    settled = {algo: (config, plan.preset) for algo, config in _read(plan, new).items()}
    for algo, identity in identities.items():
        settled[algo] = saved_agent.config_of(experiments[algo], identity), identity["preset"]
    task = exp.to_dict(settled[plan.algos[0]][0].env)
    for algo, (config, _) in settled.items():
        if found := exp.differences(task, exp.to_dict(config.env), "env"):
            raise ValueError(f"{algo} would play another task: {'; '.join(found)}; say it for all")
    return settled


@contextmanager
def naming(experiment: Experiment) -> Iterator[None]:
    """Let errors name the experiment that they are of."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{experiment.name}: {error}") from None


def _read(plan: Plan, experiments: Mapping[str, Experiment]) -> dict[str, RunConfig]:
    """Override the presets' values by the words: those for all methods, then those for one."""
    shared, own = _by_method(plan.words, plan.algos)
    configs = {}
    for algo, experiment in experiments.items():
        prog = f"{parsing.PROGRAM} run {experiment.name}"
        with naming(experiment):
            default = experiment.config(plan.preset)
            try:
                config = parsing.read_config(default, sum(shared, []), prog)
            except ValueError as error:
                raise ValueError(_advice(plan, algo, shared) or str(error)) from None
            configs[algo] = parsing.read_config(config, sum(own[algo], []), prog)
    return configs


def _by_method(words: list[str], algos: list[str]) -> tuple[list[Option], dict[str, list[Option]]]:
    """Divide the options into those for all methods and those for one, `--<algo>.<value>`."""
    shared: list[Option] = []
    own: dict[str, list[Option]] = {algo: [] for algo in algos}
    values = {field.name for field in fields(RunConfig)}
    for word, *given in _options(words):
        head, dot, rest = word.removeprefix("--").partition(".")
        head = head if head in own else head.replace("-", "_")
        if word.startswith(f"--{parsing.GRID}") or rest.startswith(parsing.GRID):
            raise ValueError(f"{word}: a comparison has one row per method; use sweep for a grid")
        if dot and head in own:
            own[head].append([f"--{rest}", *given])
        elif dot and head not in values:
            raise ValueError(f"{word}: {head} is not compared; it is {', '.join(algos)}")
        else:
            shared.append([word, *given])
    return shared, own


def _options(words: list[str]) -> list[Option]:
    """Group words by the options that they belong to."""
    groups: list[Option] = []
    for word in words:
        if word.startswith("--"):
            groups.append([word])
        elif groups:
            groups[-1].append(word)
        else:
            raise ValueError(f"{word!r} is not an option; name methods with --algos")
    return groups


def _advice(plan: Plan, algo: str, shared: list[Option]) -> str:
    """Find the value for all that this method does not take and others do. -> what to say
    instead, or nothing."""
    for option in shared:
        having = [other for other in plan.algos if _takes(plan, other, option)]
        if having and algo not in having:
            word, *values = option
            instead = (" ".join([f"--{name}.{word[2:]}", *values]) for name in having)
            return f"it does not take {' '.join(option)}; say instead {' '.join(instead)}"
    return ""


def _takes(plan: Plan, algo: str, option: Option) -> bool:
    try:
        parsing.read_config(find_on(plan.domain, algo).config(plan.preset), option, "")
    except ValueError:
        return False
    return True
