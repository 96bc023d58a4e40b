"""Local SGD whose mean is not taken as it is, but as the gradient of an outer optimizer.

After every H local steps, with c the weights after the last such round (at first the start):

    d  <- c - mean_i w_i                      what the workers have found together
    m  <- momentum * m + d
    c  <- c - rate * (d + momentum * m)       Nesterov; w_i <- c for everybody

DiLoCo (arXiv:2311.08105) takes rate 0.7, momentum 0.9 and hundreds of steps, with AdamW within;
SlowMo (arXiv:1910.00643) is near to it. With rate 1 and momentum 0 this is local SGD. One worker
alone makes outer steps as well (which is Lookahead, arXiv:1907.08610, where momentum is 0).
"""

from dataclasses import dataclass

from parallel.strategy.averaging import STATE, LocalSGD
from parallel.strategy.base import fraction
from parallel.world.ops import NOTHING, Round


@dataclass
class DiLoCo(LocalSGD):
    """Workers that make H local steps each, and an outer step with momentum together."""

    period: int = 100
    outer_rate: float = 0.7
    outer_momentum: float = 0.9

    def init(self, workers: int) -> None:
        """Check the outer optimizer."""
        super().init(workers)
        fraction("outer_rate", self.outer_rate)
        if not 0 <= self.outer_momentum < 1:
            raise ValueError(f"outer_momentum must be in [0, 1), got {self.outer_momentum}")
        if "params" not in self.average:
            raise ValueError(
                f"diloco: its outer steps move the weights, and average={self.average} leaves them "
                'out: add "params"'
            )

    @property
    def outer(self) -> tuple[float, float]:
        """Rate and momentum, which the executor makes its outer steps with."""
        return self.outer_rate, self.outer_momentum

    def plan(self, seed: int, step: int) -> Round:
        """Average in one step of H, also one worker with itself."""
        return NOTHING if (step - self.phase) % self.period else STATE
