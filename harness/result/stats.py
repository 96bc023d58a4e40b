"""Means with intervals, and differences paired by seed.

    mean +- t(0.975, n-1) * s / sqrt(n)

A verdict word is given only where the 95 % interval of the paired difference excludes 0.
Intervals are per comparison: nothing is adjusted for how many comparisons a table holds.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Interval:
    """A mean of n values and its 95 % t-interval; low and high are None where n = 1."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.high is None else self.high - self.mean

    def text(self, scale: float = 1.0, digits: int = 4) -> str:
        """Such as "0.9486 ± 0.0012 (n=10)"."""
        head = f"{self.mean * scale:.{digits}f}"
        if self.half is None:
            return f"{head} (n=1, no interval)"
        return f"{head} ± {self.half * scale:.{digits}f} (n={self.n})"


def interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Mean and t-interval of independent values."""
    values = list(values)
    if not values:
        raise ValueError("no values to average: expected at least one finished run")
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None, None, 1)
    from scipy.special import stdtrit

    n = len(values)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


@dataclass(frozen=True)
class Difference:
    """First arm minus second arm over the seeds that both have."""

    first: str
    second: str
    interval: Interval

    @property
    def verdict(self) -> str:
        """In words; never stronger than the interval."""
        i = self.interval
        if i.low is None or i.high is None:
            return f"{self.first} and {self.second}: n = 1, no interval"
        if i.low > 0:
            return f"{self.first} is better than {self.second}"
        if i.high < 0:
            return f"{self.first} is worse than {self.second}"
        return f"no difference shown between {self.first} and {self.second}"


def paired(
    first: str, second: str, a: Mapping[int, float], b: Mapping[int, float]
) -> Difference | None:
    """The difference by seed (larger is better); None where no seed is common."""
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return None
    return Difference(first, second, interval(a[s] - b[s] for s in seeds))
