"""Computes means with intervals, and differences paired by seed.

    mean +- t(0.975, n-1) * s / sqrt(n)

A verdict word is given only where the 95 % interval of the paired difference excludes 0; which way
is better, the metric says. Equal values show no spread, and s = 0 would claim certainty: two that
agree are no interval. What n of them do show is that their median is that value: all n lie on one
side of another one in a share of 2^(1-n) of all cases, which is below 5 % from n = 6 on.
Intervals are per comparison: nothing is adjusted for how many comparisons a table holds.
"""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from harness.metric import ACCURACY, Metric
from harness.names import kind_of


@dataclass(frozen=True)
class Interval:
    """A mean of n values and its 95 % t-interval.

    Low and high are None where the values allow none: a single one, or a few without any spread.
    """

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

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, and 0 lies outside."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def count(self) -> str:
        """How many values, and what they lack: "n=10", "n=1, no interval", "n=2, no spread"."""
        lack = ", no interval" if self.n == 1 else ", no spread"
        return f"n={self.n}{lack if self.half is None else ''}"

    def amount(self, scale: float = 1.0, digits: int = 4, unit: str = "") -> str:
        """Format the mean and half its interval, such as "7.83 ± 7.64 points"."""
        text = f"{self.mean * scale:.{digits}f}"
        if self.half is not None:
            text += f" ± {self.half * scale:.{digits}f}"
        return f"{text} {unit}".rstrip()

    def text(self, scale: float = 1.0, digits: int = 4, unit: str = "") -> str:
        """Format mean, half interval and n, such as "7.83 ± 7.64 points (n=5)"."""
        return f"{self.amount(scale, digits, unit)} ({self.count})"


def interval(values: Iterable[float], level: float = 0.95, size: float = 0.0) -> Interval:
    """Return the mean and the t-interval of independent values.

    Args:
        values: At least one.
        level: How often the interval holds the truth.
        size: Of the numbers that the values are differences of, at most: these are rounded before
            they are subtracted, so values that differ by no more than that are equal.
    """
    values = list(values)
    if not values:
        raise ValueError("no values to average: expected at least one finished run")
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None, None, 1)
    from scipy.special import stdtrit

    n = len(values)
    if _equal(values, size):
        sure = 1 - 2.0 ** (1 - n) >= level
        return Interval(mean, mean, mean, n) if sure else Interval(mean, None, None, n)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def _equal(values: list[float], size: float) -> bool:
    """Return whether the values differ by rounding only.

    Two numbers of size M are each half an eps off, so is their difference, of size 2 M at most:
    (1/2 + 1/2 + 1) eps M. Two such differences are 4 eps M apart.
    """
    size = max(size, *map(abs, values))
    return max(values) - min(values) <= 4 * sys.float_info.epsilon * size


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
            why = "n = 1" if i.n == 1 else f"no spread in {i.n} seeds"
            return f"{self.first} and {self.second}: {why}, no interval"
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
        """Verdict and amount; where the seeds give no verdict, the amount alone."""
        alone = self.interval.half is None
        return f"{f'{self.first} minus {self.second}' if alone else self.verdict}: {self.text}"


def paired(
    first: str,
    second: str,
    a: Mapping[int, float],
    b: Mapping[int, float],
    metric: Metric = ACCURACY,
) -> Difference | None:
    """Return the difference by seed, judged by the metric.

    One seed in common gives a difference without an interval; none gives None.

    Args:
        first: What words call the first arm.
        second: And the other.
        a: The value of each seed of the first, as `Experiment.final` gives it.
        b: And of the other.
        metric: Which way is better, and the unit.

    Raises:
        ValueError: values that do not say whose seed they are.
    """
    for name, values in ((first, a), (second, b)):
        if not isinstance(values, Mapping):
            raise ValueError(
                f"the values of {name} are {kind_of(values)}; pairs are made by seed: "
                "{seed: value}, as whole.final(arm, metric) gives them"
            )
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return None
    size = max(abs(x[s]) for x in (a, b) for s in seeds)
    found = interval((a[s] - b[s] for s in seeds), size=size)
    return Difference(first, second, found, metric)
