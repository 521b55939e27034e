"""The methods by name: their options, and the algorithms that these make."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax import ranges
from drac_jax.actors import amortized, denoiser, diffusion, flow, gaussian, stein_start
from drac_jax.algorithms import (
    DacerHParams,
    DracHParams,
    S2acHParams,
    SacHParams,
    SdacHParams,
    SqlHParams,
    Td3HParams,
    make_dacer,
    make_drac,
    make_s2ac,
    make_sac,
    make_sdac,
    make_sql,
    make_td3,
)
from drac_jax.algorithms.dacer import clip
from drac_jax.algorithms.registry.options import (
    CriticOptions,
    DacerOptions,
    DiffusionOptions,
    DiversityOptions,
    DracOptions,
    FlowOptions,
    S2acOptions,
    SacOptions,
    SdacOptions,
    SqlOptions,
)
from drac_jax.diversity.distance import Diversity, all_pairs, check_beta, paired
from drac_jax.diversity.pairwise import ARITHMETIC, GEOMETRIC
from drac_jax.networks.columns import actor_seeing
from drac_jax.networks.critics import TwinCritic, twin_critic
from drac_jax.networks.distributional import distributional_twin
from drac_jax.networks.value_heads import NUMBER, ValueHead, histogram
from drac_jax.types import Actor, Algorithm, EnvSpec

MEANS = {"geometric": GEOMETRIC, "arithmetic": ARITHMETIC}
SQUASHES = {"clip": clip, "tanh": jnp.tanh}
LAWS = {"uniform": jax.random.uniform, "normal": jax.random.normal}


class Method(NamedTuple):
    """A method: its default options and hyperparameters, how to make it, and how to check it.

    make: (spec, options) -> Algorithm; check: (spec, options, hparams) -> warnings. Both raise
    ValueError on values that cannot work. updates_per_call: critic steps that one call of the
    algorithm's `update` stands for. acts_with_critics: they choose the action with the actor.
    """

    summary: str
    options: Any
    hparams: Any
    make: Callable[[EnvSpec, Any], Algorithm]
    check: Callable[[EnvSpec, Any, Any], list[str]]
    updates_per_call: int = 1
    acts_with_critics: bool = False


def make_amortized(spec: EnvSpec, options: DracOptions) -> Algorithm:
    """Make DrAC with the amortized actor."""
    law = LAWS[options.latent_law]
    actor = amortized(spec.action_size, options.latent_size, options.hidden, law, options.style)
    return _drac_of(spec, actor, options)


def make_diffusion(spec: EnvSpec, options: DiffusionOptions) -> Algorithm:
    """Make DrAC with the diffusion actor."""
    actor = diffusion(spec.action_size, options.steps, options.hidden, options.remat, options.style)
    return _drac_of(spec, actor, options)


def make_flow(spec: EnvSpec, options: FlowOptions) -> Algorithm:
    """Make DrAC with the flow actor."""
    actor = flow(spec.action_size, options.steps, options.hidden, options.style)
    return _drac_of(spec, actor, options)


def _drac_of(spec: EnvSpec, actor: Actor, options: DiversityOptions) -> Algorithm:
    diversity = make_diversity(options)
    fraction = options.diversity_fraction
    actor = actor_seeing(actor, spec.actor_obs)
    return make_drac(actor, diversity, _critic(spec, options), fraction)


def _critic(spec: EnvSpec, options: CriticOptions) -> TwinCritic:
    head = _value_head(options)
    return twin_critic(options.hidden, options.style, spec.critic_obs, options.critic, head)


def _value_head(options: CriticOptions) -> ValueHead:
    if options.value == "number":
        return NUMBER
    if options.value_range is None:
        raise ValueError("value=histogram needs value_range, the lowest and the highest return")
    return histogram(*options.value_range, options.bins)


def make_gaussian(spec: EnvSpec, options: SacOptions) -> Algorithm:
    """Make SAC."""
    actor = gaussian(spec.action_size, options.hidden, options.style)
    actor = actor_seeing(actor, spec.actor_obs)
    return make_sac(actor, _critic(spec, options))


def make_noisy_diffusion(spec: EnvSpec, options: DacerOptions) -> Algorithm:
    """Make DACER."""
    actor = diffusion(spec.action_size, options.steps, options.hidden, style=options.style)
    return make_dacer(
        actor_seeing(actor, spec.actor_obs),
        SQUASHES[options.squash],
        options.mixture_components,
        options.entropy_samples,
        options.entropy_period,
        distributional_twin(options.hidden, options.style, spec.critic_obs),
    )


def make_soft_diffusion(spec: EnvSpec, options: SdacOptions) -> Algorithm:
    """Make SDAC."""
    actor = denoiser(spec.action_size, options.steps, options.hidden, options.style, spec.actor_obs)
    return make_sdac(actor, options.candidates, _critic(spec, options))


def make_soft_q(spec: EnvSpec, options: SqlOptions) -> Algorithm:
    """Make SQL."""
    actor = amortized(spec.action_size, spec.action_size, options.hidden, style=options.style)
    actor = actor_seeing(actor, spec.actor_obs)
    return make_sql(actor, options.particles, _critic(spec, options))


def make_stein(spec: EnvSpec, options: S2acOptions) -> Algorithm:
    """Make S2AC."""
    start = stein_start(spec.action_size, options.hidden, options.style)
    start = actor_seeing(start, spec.actor_obs)
    return make_s2ac(start, options.particles, options.svgd_steps, _critic(spec, options))


def make_deterministic(spec: EnvSpec, options: CriticOptions) -> Algorithm:
    """Make TD3."""
    critic = _critic(spec, options)
    return make_td3(spec.action_size, options.hidden, options.style, spec.actor_obs, critic)


def make_diversity(options: DiversityOptions) -> Diversity:
    """Make the estimator that the options name."""
    mean = MEANS[options.mean]
    if options.estimator == "all_pairs":
        return all_pairs(options.num_samples, options.q_samples, mean)
    pairs, rest = divmod(options.num_samples - 1, 2)
    if rest:
        raise ValueError(
            f"num_samples={options.num_samples} must be odd with estimator=paired: two of each "
            f"pair and one for Q; use {options.num_samples + 1}"
        )
    if options.q_samples != 1:
        raise ValueError(f"q_samples={options.q_samples} needs estimator=all_pairs; use 1")
    return paired(pairs, mean)


def check_drac(spec: EnvSpec, options: DiversityOptions, hparams: DracHParams) -> list[str]:
    """Refuse hyperparameters that cannot work; warn of a beta above a uniform policy's."""
    check_hparams(spec, options, hparams)
    warning = check_beta(hparams.beta, spec.action_size, make_diversity(options).mean)
    return [warning] if warning else []


def check_hparams(spec: EnvSpec, options: Any, hparams: Any) -> list[str]:
    """Refuse values that cannot work in any method: those of the names that methods share."""
    ranges.check(hparams)
    return []


METHODS: dict[str, Method] = {
    "amortized": Method(
        "DrAC with the amortized actor", DracOptions(), DracHParams(), make_amortized, check_drac
    ),
    "diffusion": Method(
        "DrAC with the diffusion actor",
        DiffusionOptions(),
        DracHParams(),
        make_diffusion,
        check_drac,
    ),
    "diffusion5": Method(
        "DrAC with the diffusion actor of 5 steps",
        DiffusionOptions(steps=5),
        DracHParams(),
        make_diffusion,
        check_drac,
    ),
    "flow": Method("DrAC with the flow actor", FlowOptions(), DracHParams(), make_flow, check_drac),
    "sac": Method("SAC", SacOptions(), SacHParams(), make_gaussian, check_hparams),
    "dacer": Method(
        "DACER", DacerOptions(), DacerHParams(), make_noisy_diffusion, check_hparams, 2
    ),
    "sdac": Method("SDAC", SdacOptions(), SdacHParams(), make_soft_diffusion, check_hparams),
    "sql": Method("SQL", SqlOptions(), SqlHParams(), make_soft_q, check_hparams),
    "s2ac": Method(
        "S2AC",
        S2acOptions(),
        S2acHParams(),
        make_stein,
        check_hparams,
        acts_with_critics=True,
    ),
    "td3": Method("TD3", CriticOptions(), Td3HParams(), make_deterministic, check_hparams, 2),
}
