"""Independent subnet training (arXiv:1910.02120): workers train disjoint parts of a net.

    H local steps            on a net that is smaller in each layer: fewer bytes and multiply-adds
    after step H, 2H, ...    the slices come back to rank 0 and take their places; nothing is
                             averaged but what belongs to no neuron (parallel.subnets.cutting);
                             then rank 0 deals anew: a new random partition, each gets its slices

The optimizer's state follows the neurons. Sums over a part of a layer are about W times smaller
than over all of it: where a norm follows that does not matter; elsewhere

    rescale="auto"    such sums are multiplied by W in the subnets; a learning rate keeps its
                      meaning (parallel.subnets.cutting.ScaledLinear)
    rescale=True      the same, as dropout does it: steps in such layers reach W^2 times as far
    rescale=False     nothing, as the paper does (all its layers have norms)
"""

from dataclasses import dataclass
from typing import Any

from parallel.strategy.base import Strategy, every
from parallel.world.ops import NOTHING, Gather, Round, Scatter


@dataclass
class IST(Strategy):
    """Workers that train disjoint subnets of fully connected layers.

    Args:
        period: H, local steps between two partitions.
        rescale: "auto", True or False; see above.
    """

    period: int = 20
    rescale: Any = "auto"

    holds = "subnets"
    elastic = False

    def init(self, workers: int) -> None:
        """Check the options `period` and `rescale`."""
        super().init(workers)
        every("period", self.period)
        if self.average != ("params",):
            raise ValueError("ist: slices move with their state, nothing is averaged by `average`")
        if self.rescale not in ("auto", True, False):
            raise ValueError(f'rescale is "auto", True or False, got {self.rescale!r}')

    def plan(self, seed: int, step: int) -> Round:
        """Collect at the end of a round of H steps, and deal for the next."""
        if step % self.period or self.workers == 1:
            return NOTHING
        return Round(after=(Gather(), Scatter()))

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes: in one step of H, `size` comes back to rank 0 and goes out again."""
        return 2 * (steps // self.period) * size / self.workers
