"""PipeMare: no stash, a slower start by delay (T1), and a backward pass corrected by drift (T2).

    T1    rate 1 / d^p,  p = 1 - min(t / warmup, 1)
    T2    backward weights  w - d delta,  delta <- g delta + (1 - g) (w - w before),  g = D^(1/d)

Delays are counted in updates of the stage between its two passes, d = N-1-k (the paper counts by
the clock of a pipeline that does both passes in one tick, 2d + 1).
"""

from dataclasses import dataclass

from parallel.pipeline.versions import State, Versions
from parallel.pipeline.weights import Policy


@dataclass(frozen=True)
class PipeMare(Policy):
    """Newest weights forward; backward as they were in the forward pass, as far as drift tells.

    Args:
        warmup: Updates until the rate is the optimizer's own (T1); 0: no T1.
        drift: D above, e^-2 by default; 0: no T2.
    """

    warmup: int = 500
    drift: float = 0.135

    def kept(self, stage: int, stages: int) -> int:
        """One, for the displacement."""
        return int(self.drift > 0 and stage < stages - 1)

    def held(self, stage: int, stages: int) -> int:
        """The true weights, and those before."""
        return 1 + self.kept(stage, stages)

    def beside(self, stage: int, stages: int) -> int:
        """The drift."""
        return self.kept(stage, stages)

    def backward(self, weights: Versions, t: int) -> State:
        """Newest, less the drift of d updates."""
        delta = weights.extra.get("delta")
        if not delta:
            return weights.newest
        return {k: w - weights.delay * delta[k] for k, w in weights.newest.items()}

    def rate(self, weights: Versions, t: int) -> float:
        """Shorter by delay, at first."""
        if t >= self.warmup or not weights.delay:
            return 1.0
        return weights.delay ** -(1 - t / self.warmup)

    def applied(self, weights: Versions) -> None:
        """Follow the drift."""
        if not self.kept(weights.stage, weights.stages):
            return
        g, before = self.drift ** (1 / weights.delay), weights.version(weights.number - 1)
        old = weights.extra.get("delta")
        moved = {k: (1 - g) * (w - before[k]) for k, w in weights.newest.items()}
        weights.extra["delta"] = {k: m + g * old[k] for k, m in moved.items()} if old else moved
