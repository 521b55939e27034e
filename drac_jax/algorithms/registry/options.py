"""The static choices of every method: whatever changes a shape or a program."""

from dataclasses import dataclass
from typing import Literal

from drac_jax.networks.critics import Layers
from drac_jax.networks.mlp import Precision, Style


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What every method's networks may be told."""

    hidden: tuple[int, ...] = (256, 256)  # sizes of the hidden layers of actor and critics
    # Of the networks' matrix products; all else is float32. tf32: a GPU's, float32 on a CPU;
    # bfloat16: emulated on a CPU.
    precision: Precision = "float32"
    layer_norm: bool = False  # normalise the input of the hidden layers' ReLU

    @property
    def style(self) -> Style:
        """How the networks compute."""
        return Style(self.precision, self.layer_norm)


@dataclass(frozen=True, kw_only=True)
class CriticOptions(NetworkOptions):
    """What critics of the expected return may be told."""

    critic: Layers = "plain"  # a perceptron, or residual: SimBa's blocks, of hidden's one size
    # What a critic learns: the return, or a histogram of `bins` over value_range, whose mean it is.
    value: Literal["number", "histogram"] = "number"
    # The lowest and the highest return, discounted, with a histogram.
    value_range: tuple[float, float] | None = None
    bins: int = 101  # of the histogram


@dataclass(frozen=True, kw_only=True)
class DiversityOptions(CriticOptions):
    """The static choices of DrAC with any actor: whatever changes a shape."""

    # Of the diversity: `paired` is the paper's, with num_samples = 2 pairs + 1.
    estimator: Literal["paired", "all_pairs"] = "all_pairs"
    mean: Literal["geometric", "arithmetic"] = "geometric"  # of the distances of two actions
    num_samples: int = 6  # action samples of a state
    q_samples: int = 1  # those of them that the critics see (all_pairs)
    # The share of the batch's states whose mean diversity stands for that of all in the losses of
    # actor and alpha.
    diversity_fraction: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DracOptions(DiversityOptions):
    """The static choices of DrAC with the amortized actor."""

    latent_size: int = 16  # numbers that the actor draws for an action
    latent_law: Literal["uniform", "normal"] = "uniform"  # their distribution


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions(DiversityOptions):
    """The static choices of DrAC with the diffusion actor."""

    steps: int = 20  # denoising steps of an action
    # Recompute the chain's activations for its gradient instead of keeping them: 1 / steps of the
    # memory. Faster on a CPU, whose cache they do not fit: 134 ms instead of 152 for six samples.
    remat: bool = True


@dataclass(frozen=True, kw_only=True)
class FlowOptions(DiversityOptions):
    """The static choices of DrAC with the flow actor."""

    steps: int = 4  # Euler steps from noise to an action


@dataclass(frozen=True, kw_only=True)
class SacOptions(CriticOptions):
    """The static choices of SAC: those of its networks."""


@dataclass(frozen=True, kw_only=True)
class DacerOptions(NetworkOptions):
    """The static choices of DACER."""

    squash: Literal["clip", "tanh"] = "clip"  # of the noisy action into the box
    steps: int = 20  # denoising steps of an action
    mixture_components: int = 3  # Gaussians of a state's entropy estimate
    entropy_samples: int = 200  # actions that they are fitted to
    entropy_period: int = 10_000  # updates between two estimates


@dataclass(frozen=True, kw_only=True)
class SdacOptions(CriticOptions):
    """The static choices of SDAC."""

    steps: int = 20  # denoising steps of an action
    candidates: int = 64  # clean actions that a noisy one may have come from, to be weighed


@dataclass(frozen=True, kw_only=True)
class SqlOptions(CriticOptions):
    """The static choices of SQL. The amortized actor's latent is as long as an action."""

    particles: int = 32  # action samples of a state, in each of the update's three sets


@dataclass(frozen=True, kw_only=True)
class S2acOptions(CriticOptions):
    """The static choices of S2AC."""

    particles: int = 10  # action samples of a state
    svgd_steps: int = 5  # Stein steps that move them
