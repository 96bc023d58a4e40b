"""ZeRO (arXiv:1910.02054): workers that divide what they hold, and compute what all-reduce does.

         sent by a worker in a step        held by a worker, of parameters, gradients, optimizer
zero1    2 r M                             all, all, a slice
zero2    2 r M                             all, a slice, a slice
zero3    3 r M, as weights come twice      a slice of each

M are the bytes of a model, r = (n - 1) / n, a slice is the n-th part of all weights in a row. The
mean of the gradients goes to whom the slice belongs (ReduceScatter), he steps it, and gives it to
all (AllGather): after the step, or, under zero3, whenever a unit of the net is computed.
"""

import math
from dataclasses import dataclass

from parallel.strategy.averaging import GradientAllReduce
from parallel.world.ops import NOTHING, AllGather, ReduceScatter, Round

SLICED = Round((ReduceScatter("gradients"),), (AllGather("params"),))
BY_UNIT = Round((AllGather("params"), AllGather("params"), ReduceScatter("gradients")))


@dataclass
class ZeRO1(GradientAllReduce):
    """Each worker has the optimizer's state of its slice of the weights, and steps that."""

    holds = "slices"
    stage = 1

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The name by which it is made."""
        return f"zero{self.stage}"

    def plan(self, seed: int, step: int) -> Round:
        """Scatter the gradients' mean, and gather what was stepped."""
        if self.workers == 1:
            return NOTHING
        return BY_UNIT if self.stage == 3 else SLICED

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of two or, under zero3, three halves of a ring in every step."""
        return (3 if self.stage == 3 else 2) * self.others * size * steps


@dataclass
class ZeRO2(ZeRO1):
    """As zero1, and gradients beyond the own slice are freed while the backward goes on."""

    stage = 2


@dataclass
class ZeRO3(ZeRO1):
    """As zero2, and weights beyond the own slice are there only while their unit is computed."""

    stage = 3


@dataclass(frozen=True)
class Held:
    """Numbers or bytes that a worker holds of each kind."""

    parameters: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """Return the sum over the kinds."""
        return self.parameters + self.gradients + self.optimizer


def held(stage: int, size: float, workers: int, each: Held) -> Held:
    """Return the bytes that a worker holds: of the first one, whose slice is never the shortest.

    Args:
        stage: 0 (all-reduce), 1, 2 or 3.
        size: Weights of the net.
        workers: How many divide them.
        each: Bytes of one weight, of its gradient, and of its optimizer's state.
    """
    own = math.ceil(size / workers)
    counts = [size if stage < first else own for first in (3, 2, 1)]
    kinds = each.parameters, each.gradients, each.optimizer
    return Held(*(n * b for n, b in zip(counts, kinds, strict=True)))
