"""The experiments, by name."""

from difflib import get_close_matches

from drac_jax.experiment import Experiment
from experiments import antmaze, locomotion, mario, multigoal, pointmaze

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for domain in (multigoal, pointmaze, antmaze, locomotion, mario)
    for experiment in domain.EXPERIMENTS
}


def find(name: str) -> Experiment:
    """Look up an experiment. Raises ValueError with the nearest names."""
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=3, cutoff=0.4) or list(EXPERIMENTS)
        raise ValueError(f"experiment {name!r} is unknown; nearest: {', '.join(near)}")
    return EXPERIMENTS[name]
