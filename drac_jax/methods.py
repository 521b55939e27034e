"""The paper's methods by name: which options a user may set, and the algorithm they make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from drac_jax.actors import amortized
from drac_jax.algorithms import DracHParams, make_drac
from drac_jax.diversity import Diversity, all_pairs, check_beta, paired
from drac_jax.types import Algorithm, EnvSpec


@dataclass(frozen=True)
class DracOptions:
    """The static choices of DrAC: whatever changes a shape.

    estimator: of the diversity, `paired` (the paper's: num_samples = 2 pairs + 1) or `all_pairs`;
    num_samples: action samples a state; q_samples: of them, those the critics see (all_pairs);
    latent_size: of the amortized actor; hidden: layer sizes of actor and critics.
    """

    estimator: Literal["paired", "all_pairs"] = "all_pairs"
    num_samples: int = 6
    q_samples: int = 1
    latent_size: int = 16
    hidden: tuple[int, ...] = (256, 256)


class Method(NamedTuple):
    """A method: its default options and hyperparameters, how to make it, and how to check it.

    make: (spec, options) -> Algorithm; check: (spec, options, hparams) -> warnings. Both raise
    ValueError on values that cannot work.
    """

    options: Any
    hparams: Any
    make: Callable[[EnvSpec, Any], Algorithm]
    check: Callable[[EnvSpec, Any, Any], list[str]]


def make_amortized(spec: EnvSpec, options: DracOptions) -> Algorithm:
    """Make DrAC with the amortized actor."""
    actor = amortized(spec.action_size, options.latent_size, options.hidden)
    return make_drac(actor, make_diversity(options), options.hidden)


def make_diversity(options: DracOptions) -> Diversity:
    """Make the estimator that the options name."""
    if options.estimator == "all_pairs":
        return all_pairs(options.num_samples, options.q_samples)
    pairs, rest = divmod(options.num_samples - 1, 2)
    if rest:
        raise ValueError(
            f"num_samples={options.num_samples} must be odd with estimator=paired: two of each "
            f"pair and one for Q; use {options.num_samples + 1}"
        )
    if options.q_samples != 1:
        raise ValueError(f"q_samples={options.q_samples} needs estimator=all_pairs; use 1")
    return paired(pairs)


def check_drac(spec: EnvSpec, options: DracOptions, hparams: DracHParams) -> list[str]:
    """Refuse hyperparameters that cannot work; warn of a beta above a uniform policy's."""
    make_diversity(options)
    for name in ("actor_lr", "critic_lr", "alpha_lr", "alpha_init"):
        if not getattr(hparams, name) > 0.0:
            raise ValueError(f"{name}={getattr(hparams, name):g} must be above 0")
    for name in ("gamma", "tau"):
        if not 0.0 < getattr(hparams, name) <= 1.0:
            raise ValueError(f"{name}={getattr(hparams, name):g} must be in (0, 1]")
    warning = check_beta(hparams.beta, spec.action_size)
    return [warning] if warning else []


METHODS: dict[str, Method] = {
    "amortized": Method(DracOptions(), DracHParams(), make_amortized, check_drac),
}
