"""Stochastic gradient push (SGP, arXiv:1811.10792): averaging over the edges of a directed graph.

Who sends keeps half and gives half to one other, so that columns of the mixing P add up to 1. Rows
do not: who gets more than he gives would count too much. So each worker has a mass m, at first 1,
that goes the way of its numerator x, and what it trains and stands for is the ratio of both:

    x_i <- x_i + u_i(z_i)          the optimizer looks at z_i = x_i / m_i, and its step is on x_i
    x_i <- sum_j P_ij x_j          m_i <- sum_j P_ij m_j          z_i <- x_i / m_i

The sums of x and of m are kept, and the consensus sum x / sum m moves as if nobody had mixed. A
light worker's z moves far in a step, by u / m: where many skip (of four workers that send with
probability 1/8 the lightest weighs 1/4 in half of all steps, and at times 1/1000) that is too far
for most learning rates. Who wants to talk less takes a period.

    exponential    to the worker at distance 1, 2, 4, ... in turn
    ring           to the next one

Where everybody sends (probability 1) each gets as much as it gives: masses stay 1, and P is the
mixing of the strategy `exponential`, which acts before the local step and not after it. Where some
skip a round by chance, masses differ, and without them workers would agree on another mean.

A plan is the same on all ranks, so that each of them computes the masses of all: none is sent.
That counts on all messages to come, and so on all workers to live. As rows, with z for x, the
mixing is m_j P_ij / m_i, which adds up to 1: statistics and momentum are mixed by it as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.names import check
from parallel.strategy.base import Mixing, fraction, random
from parallel.strategy.graph import Graph, ahead
from parallel.world.ops import NOTHING, Op, Push, Round, messages

GRAPHS = ("exponential", "ring")


@dataclass
class PushSum(Graph):
    """Workers that push half of what they have to one other, after their step.

    Args:
        period: Only steps that it divides.
        graph: "exponential" or "ring", both directed.
        probability: That a worker sends in such a step.
    """

    graph: str = "exponential"
    probability: float = 1.0

    push_sum = True
    elastic = False

    def init(self, workers: int) -> None:
        """Check graph and probability."""
        super().init(workers)
        check("graph", self.graph, GRAPHS)
        fraction("probability", self.probability)
        if "params" not in self.average:
            raise ValueError(
                f"push_sum: masses are those of the weights, and average={self.average} leaves "
                'them out: add "params"'
            )

    def plan(self, seed: int, step: int) -> Round:
        """Let each worker that does not skip this round send."""
        if self.workers < 2 or step % self.period:
            return NOTHING
        sends = random(seed, step).random(self.workers) < self.probability
        edges = self.edges(step // self.period - 1)
        return Round(after=tuple(op for op, due in zip(edges, sends, strict=True) if due))

    def edges(self, turn: int) -> tuple[Op, ...]:
        """Return a message from each worker to the one at this round's distance."""
        n = self.workers
        far = ahead(turn, n) if self.graph == "exponential" else 1
        return tuple(Push(i, (i + far) % n) for i in range(n))

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return P: who sends keeps half, and who is sent to adds the other half."""
        sent = messages(ops)
        rows: Mixing = {i: {i: 1.0} for pair in sent for i in pair}
        for source, target in sent:
            rows[source][source] = rows[target][source] = 0.5
        return rows

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of one message a round, from who does not skip it."""
        return self.probability * min(1, self.workers - 1) * size * (steps // self.period)
