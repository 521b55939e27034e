"""The residual network of SimBa: blocks that add to what they are given, normalised layers."""

import jax
from flax import linen as nn

from drac_jax.networks.mlp import NORM_EPS, PartsDense, Style

EXPANSION = 4  # of a block's hidden layer


class ResidualMLP(nn.Module):
    """A linear layer of the concatenation of `parts`, one residual block for every further entry of
    `hidden`, a layer norm, and a linear output.

    hidden: the width, as often as there are layers: (256, 256) is one block of 256. Source: SimBa,
    arXiv 2410.09754. Differences: its running normalisation of obs is the loop's
    (`--train.normalize-obs`), its weight decay is left out, and initial weights are those of the
    other networks here.
    """

    hidden: tuple[int, ...]
    outputs: int
    style: Style

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        width = self.hidden[0]
        x = PartsDense(width, self.style)(*parts)
        for _ in self.hidden[1:]:
            h = PartsDense(EXPANSION * width, self.style)(nn.LayerNorm(epsilon=NORM_EPS)(x))
            x = x + PartsDense(width, self.style)(nn.relu(h))
        return PartsDense(self.outputs, self.style)(nn.LayerNorm(epsilon=NORM_EPS)(x))
