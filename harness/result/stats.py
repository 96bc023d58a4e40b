"""Computes means with intervals, and differences paired by seed.

    mean +- t(0.975, n-1) * s / sqrt(n)

A verdict word is given only where the 95 % interval of the paired difference excludes 0; which way
is better, the metric says.
Intervals are per comparison: nothing is adjusted for how many comparisons a table holds.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from harness.metric import ACCURACY, Metric


@dataclass(frozen=True)
class Interval:
    """A mean of n values and its 95 % t-interval; low and high are None where n = 1."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high for a picture; both are the mean where there is no interval."""
        return (
            self.mean if self.low is None else self.low,
            self.mean if self.high is None else self.high,
        )

    @property
    def half(self) -> float | None:
        """Half the width of the interval, or None where there is none."""
        return None if self.high is None else self.high - self.mean

    def amount(self, scale: float = 1.0, digits: int = 4, unit: str = "") -> str:
        """Format the mean and half its interval, such as "7.83 ± 7.64 points"."""
        text = f"{self.mean * scale:.{digits}f}"
        if self.half is not None:
            text += f" ± {self.half * scale:.{digits}f}"
        return f"{text} {unit}".rstrip()

    def text(self, scale: float = 1.0, digits: int = 4, unit: str = "") -> str:
        """Format mean, half interval and n, such as "7.83 ± 7.64 points (n=5)"."""
        count = "n=1, no interval" if self.half is None else f"n={self.n}"
        return f"{self.amount(scale, digits, unit)} ({count})"


def interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Return the mean and the t-interval of independent values."""
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
    """The first arm minus the second over the seeds that both have."""

    first: str
    second: str
    interval: Interval
    metric: Metric = ACCURACY

    @property
    def verdict(self) -> str:
        """The comparison in words, which are never stronger than the interval."""
        i = self.interval
        if i.low is None or i.high is None:
            return f"{self.first} and {self.second}: n = 1, no interval"
        word = self.metric.judge(i.low, i.high)
        if word:
            return f"{self.first} is {word} than {self.second}"
        return f"no difference shown between {self.first} and {self.second}"

    @property
    def text(self) -> str:
        """The difference in the unit of the metric, such as "7.83 ± 7.64 points (n=5)"."""
        return self.interval.text(self.metric.scale, self.metric.digits, self.metric.unit)

    @property
    def sentence(self) -> str:
        """Verdict and amount; the amount alone for one seed, which allows no verdict."""
        alone = self.interval.half is None
        return f"{f'{self.first} minus {self.second}' if alone else self.verdict}: {self.text}"


def paired(
    first: str,
    second: str,
    a: Mapping[int, float],
    b: Mapping[int, float],
    metric: Metric = ACCURACY,
) -> Difference | None:
    """Return the difference by seed, judged by the metric; None if the arms share no seed."""
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return None
    return Difference(first, second, interval(a[s] - b[s] for s in seeds), metric)
