"""The experiments, by name."""

from difflib import get_close_matches

from drac_jax.runs.setup.experiment import Experiment
from experiments.tasks import (
    antmaze_tasks,
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
    """Look up an experiment. Raises ValueError with the nearest names."""
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=3, cutoff=0.4) or list(EXPERIMENTS)
        raise ValueError(f"experiment {name!r} is unknown; nearest: {', '.join(near)}")
    return EXPERIMENTS[name]
