"""Elastic averaging SGD: workers on springs around a centre (arXiv:1412.6651), synchronous.

    w_i <- w_i + u_i - alpha (w_i - c)          every `period` steps
    c   <- c + alpha sum_i (w_i - c)

with w and c as before the step. Both move by the same amounts, so sum_i w_i + c is kept. The
centre loses its hold where workers * alpha > 1, which is refused. The model is the centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from parallel.strategy.base import Mixing, Strategy, every, fraction
from parallel.world.ops import CENTRE, NOTHING, Exchange, Op, Round


@dataclass
class EASGD(Strategy):
    """A centre held by springs of strength alpha; None is 0.9 / workers, as its authors take."""

    alpha: float | None = None
    period: int = 1

    centre = True
    elastic = False

    def init(self, workers: int) -> None:
        """Check the strength of the springs."""
        super().init(workers)
        every("period", self.period)
        if "optimizer_state" in self.average:
            raise ValueError("easgd: its centre has no optimizer; average params or float_buffers")
        self.strength = fraction("alpha", 0.9 / workers if self.alpha is None else self.alpha)
        if workers * self.strength > 1:
            raise ValueError(
                f"alpha={self.alpha} with {workers} workers throws the centre further than the "
                f"workers are: take alpha <= {1 / workers:.4g}"
            )

    def plan(self, seed: int, step: int) -> Round:
        """Let every worker exchange with the centre."""
        if step % self.period:
            return NOTHING
        return Round(before=tuple(Exchange(i, CENTRE) for i in range(self.workers)))

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return how workers and centre mix."""
        a, n = self.strength, self.workers
        rows: Mixing = {i: {i: 1 - a, CENTRE: a} for i in range(n)}
        rows[CENTRE] = {CENTRE: 1 - n * a, **dict.fromkeys(range(n), a)}
        return rows

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes up and down, but for the worker at whose place the centre is."""
        return 2 * self.others * size * (steps // self.period)
