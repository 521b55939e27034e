"""The experiments, by name."""

from difflib import get_close_matches

import envs
from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.setup.experiment import Experiment
from envs.foreign import by_name
from experiments.tasks import (
    antmaze_tasks,
    any_environment,
    locomotion_tasks,
    mario_tasks,
    multigoal_tasks,
    pointmaze_tasks,
)

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for domain in (multigoal_tasks, pointmaze_tasks, antmaze_tasks, locomotion_tasks, mario_tasks)
    for experiment in domain.EXPERIMENTS
}


def find(name: str) -> Experiment:
    """Look up an experiment: one of those, or `<method>-on-<environment>`. Raises ValueError with
    the nearest names."""
    if any_environment.is_of_any(name):
        return any_environment.experiment_of(name)
    if name in METHODS:
        raise ValueError(f"{name} is a method; say what it plays, as in {name} --env brax:ant")
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=3, cutoff=0.4) or list(EXPERIMENTS)
        raise ValueError(f"experiment {name!r} is unknown; nearest: {', '.join(near)}")
    return EXPERIMENTS[name]


def find_on(domain: str, method: str) -> Experiment:
    """Look up the experiment of a method on a domain, or on an environment by its name. Raises
    ValueError as `find`."""
    if any(name.startswith(f"{domain}_") for name in EXPERIMENTS):
        return find(f"{domain}_{method}")
    if by_name.is_foreign(domain) or domain in envs.ENVIRONMENTS:
        return find(any_environment.name_of(method, domain))
    return find(f"{domain}_{method}")


def methods_on(domain: str) -> list[str]:
    """List the methods that play a domain, or an environment by its name; none play another."""
    named = by_name.is_foreign(domain) or domain in envs.ENVIRONMENTS
    return [name for name in METHODS if named or f"{domain}_{name}" in EXPERIMENTS]
