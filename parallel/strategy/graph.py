"""Averaging over the edges of a graph that is known beforehand (decentralized SGD).

    ring           mean of oneself and both neighbours          (D-PSGD, arXiv:1705.09056)
    exponential    mean of oneself and one peer, at distance 1, 2, 4, ... in turn
                   (one-peer exponential graph, arXiv:2110.13363)

As published, weights are mixed as they were before the step, and gradients are those of one's own:
w_i <- sum_j W_ij w_j - lr g(w_i). Every W here has rows and columns that add up to 1, so that the
mean of all workers moves as if nobody had mixed. With 2^k workers, k rounds of the exponential
graph make the exact mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from parallel.strategy.base import Mixing, Strategy, every
from parallel.world.ops import NOTHING, Exchange, Op, Push, Round, messages


@dataclass
class Graph(Strategy):
    """The base of both: mixes in steps that `period` divides."""

    period: int = 1

    def init(self, workers: int) -> None:
        """Check the period."""
        super().init(workers)
        every("period", self.period)

    def plan(self, seed: int, step: int) -> Round:
        """Return the edges of this round, if it is one."""
        late = self.workers < 2 or step % self.period
        return NOTHING if late else Round(before=self.edges(step // self.period - 1))

    def edges(self, turn: int) -> tuple[Op, ...]:
        """Return who sends to whom in the round of this number, from 0."""
        raise NotImplementedError

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return the plain mean of oneself and of all that came."""
        came: dict[int, list[int]] = {}
        for source, target in messages(ops):
            came.setdefault(target, [target]).append(source)
        return {i: dict.fromkeys(who, 1 / len(who)) for i, who in came.items()}


@dataclass
class Ring(Graph):
    """Every worker has two neighbours, and takes the mean of all three."""

    def edges(self, turn: int) -> tuple[Op, ...]:
        """Return all edges of the ring (of two workers: the one between them)."""
        n = self.workers
        return tuple(Exchange(i, (i + 1) % n) for i in range(n if n > 2 else 1))

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of a message to each neighbour."""
        return min(2, self.workers - 1) * size * (steps // self.period)


@dataclass
class Exponential(Graph):
    """Every worker takes the mean with one peer, which is twice as far away each time."""

    def edges(self, turn: int) -> tuple[Op, ...]:
        """Return a message from each worker to the one at this round's distance."""
        n = self.workers
        far = ahead(turn, n)
        return tuple(Push(i, (i + far) % n) for i in range(n))

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of one message a round."""
        return min(1, self.workers - 1) * size * (steps // self.period)


def ahead(turn: int, workers: int) -> int:
    """Return the distance 1, 2, 4, ... of a round of the exponential graph, from 0."""
    return 1 << turn % (workers - 1).bit_length()
