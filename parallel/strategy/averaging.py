"""Strategies that average over everybody, or over nobody.

local            each its own start, its own data, nothing sent
no_comm          the same start, then nothing sent
all_reduce       gradients averaged in every step: one big batch
local_sgd        weights averaged after steps H, 2H, ...        (arXiv:1805.09767)
post_local_sgd   as all_reduce up to step `switch`, then as local_sgd   (arXiv:1808.07217)
"""

from dataclasses import dataclass

from parallel.strategy.base import Strategy, every
from parallel.world.ops import NOTHING, AllReduce, Round

GRADIENTS = Round(before=(AllReduce("gradients"),))
STATE = Round(after=(AllReduce("state"),))


@dataclass
class Local(Strategy):
    """Workers that have nothing to do with each other, not even the same start."""

    same_start = False


@dataclass
class NoComm(Strategy):
    """Workers with one start that never talk."""


@dataclass
class GradientAllReduce(Strategy):
    """Synchronous data parallelism: gradients are averaged in every step, and only they.

    A parameter that no loss reaches, on any worker, has no gradient and stays as it is.
    """

    sends = "gradients"
    elastic = False
    name = "all_reduce"

    def init(self, workers: int) -> None:
        """Do nothing, as there is nothing to choose."""
        super().init(workers)
        if self.average != ("params",):
            raise ValueError(
                f"{self.name} averages gradients, so average={self.average} has no effect: use "
                "local_sgd(period=1, average=...)"
            )

    def plan(self, seed: int, step: int) -> Round:
        """Average the gradients in every step."""
        return GRADIENTS if self.workers > 1 else NOTHING

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of a ring in every step."""
        return 2 * self.others * size * steps


@dataclass
class LocalSGD(Strategy):
    """Workers that make H local steps and then take the mean of their weights.

    Args:
        period: The number H of steps between two means.
        phase: Average where step % period == phase % period; 0 is the textbook's H, 2H, ...; 1 is
            what torch's PeriodicModelAverager does.
    """

    period: int = 16
    phase: int = 0

    elastic = False

    def init(self, workers: int) -> None:
        """Check the period."""
        super().init(workers)
        every("period", self.period)
        if not isinstance(self.phase, int):
            raise ValueError(f"phase is a whole number of steps, got {self.phase}")

    def plan(self, seed: int, step: int) -> Round:
        """Average the weights in one step of H."""
        due = (step - self.phase) % self.period == 0
        return STATE if due and self.workers > 1 else NOTHING

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of a ring in one step of H."""
        first = self.phase % self.period or self.period
        return 2 * self.others * size * max(0, (steps - first) // self.period + 1)


@dataclass
class PostLocalSGD(LocalSGD):
    """Averages gradients up to and including step `switch`, and from then on the weights."""

    switch: int = 100

    def init(self, workers: int) -> None:
        """Check the switch."""
        super().init(workers)
        if not isinstance(self.switch, int) or self.switch < 0:
            raise ValueError(f"switch is the number of a step, 0 or later, got {self.switch}")

    def plan(self, seed: int, step: int) -> Round:
        """Average gradients or weights, depending on the side of the switch."""
        if step > self.switch:
            return super().plan(seed, step - self.switch)
        return GRADIENTS if self.workers > 1 else NOTHING

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of a ring in every step, then in one of H."""
        later = max(0, steps - self.switch)
        return 2 * self.others * size * (steps - later) + super().theory(size, later)
