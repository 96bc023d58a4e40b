"""The base of strategies: small objects that say, as data, who sends what in a step.

    init(workers)          check the options
    plan(seed, step)       the Round of this step (parallel.world.ops), the same on every rank
    mixing(ops)            row i: how worker i mixes the states, {worker: weight}; each row adds up
                           to 1 (of a push-sum each column does)
    theory(size, steps)    bytes that a worker sends in so many steps, on average, where what it
                           sends at a time has `size` bytes

Most define plan, mixing and theory, and nothing else. All of them are pure: asked twice, they
answer alike. Carrying a round out is the work of an executor (parallel.executors), which `holds`
names. Steps count from 1. What is averaged is an option of all: "params", "float_buffers" (running
statistics), "optimizer_state" (momentum); never counters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.names import check
from harness.seeding import derive
from parallel.world.ops import CENTRE, NOTHING, Op, Round

AVERAGED = ("params", "float_buffers", "optimizer_state")
Mixing = dict[int, dict[int, float]]


@dataclass
class Strategy:
    """A strategy whose workers never talk; the base of the others.

    Args:
        average: What is mixed: any of AVERAGED.
        weighted: Count a worker in an all-reduce by its samples since the last one.
    """

    average: tuple[str, ...] = ("params",)
    weighted: bool = True

    workers = 0
    seed = 0  # of the run, from which peers and places are drawn
    holds = "replicas"  # what a worker holds: the whole net, or "subnets"
    same_start = True  # all begin with the weights of worker 0
    elastic = True  # can go on without a worker that died
    sends = "state"  # or "gradients", or a Codec of these: whose size counts in theory
    centre = False  # whether there is an extra worker, CENTRE
    push_sum = False  # whether the columns of its mixing add up to 1: workers then have masses

    def init(self, workers: int) -> None:
        """Check the options for so many workers; called once, before all else."""
        self.average = (self.average,) if isinstance(self.average, str) else tuple(self.average)
        for what in self.average:
            check("part to average", what, AVERAGED)
        self.workers = workers

    def plan(self, seed: int, step: int) -> Round:
        """Return what is sent in this step, which is nothing here."""
        return NOTHING

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return, for each worker that changes, of whom it is then made, and by how much."""
        if rows := getattr(self, "rows", None):  # its name up to 0.5
            return rows(ops)
        raise NotImplementedError(f"{type(self).__name__} plans messages: it needs `mixing`")

    def expands(self, ops: Sequence[Op]) -> bool:
        """Return whether these messages may drive workers apart; an executor counts such rounds."""
        return False

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes that a worker sends in so many steps, on average."""
        return 0.0

    def notes(self, rounds: int, expanding: int) -> list[str]:
        """Return what a user should hear at the end of a run with so many rounds."""
        return []

    @property
    def outer(self) -> tuple[float, float] | None:
        """Rate and momentum of the outer steps that follow every mean of states, if any do."""
        return None

    @property
    def others(self) -> float:
        """The part (n - 1) / n of a ring's bytes that is really sent."""
        return (self.workers - 1) / self.workers


def every(name: str, period: int) -> int:
    """Return the period, checked to be a whole number of steps."""
    if not isinstance(period, int) or period < 1:
        raise ValueError(f"{name} is a number of steps, 1 or more, got {period}")
    return period


def fraction(name: str, value: float) -> float:
    """Return the number, checked to lie in (0, 1]."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {value}")
    return value


def random(seed: int, *keys: int) -> np.random.Generator:
    """Return a generator of random numbers that every rank draws alike."""
    return np.random.Generator(np.random.PCG64(derive(seed, "peers", *keys)))


__all__ = ["AVERAGED", "CENTRE", "Mixing", "Strategy", "every", "fraction", "random"]
