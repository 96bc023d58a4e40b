"""A metric: what the arms of a study are judged by, and which way is better.

    Plan(..., metric="test_loss")                                        less is better
    Plan(..., metric=Metric("words", unit="words/s", scale=1))           more is better

A value v is shown as scale * v in the unit. "points" are hundredths, and a unit of differences
only: an accuracy itself is shown as the fraction that it is.
"""

from dataclasses import dataclass
from math import log10
from typing import Any

from harness.names import check

DIRECTIONS = ("higher", "lower")


@dataclass(frozen=True)
class Metric:
    """The key of a metric in each row, which way is better, and how people are shown it."""

    name: str
    better: str = "higher"
    unit: str = "points"
    scale: float = 100.0
    digits: int = 2

    def __post_init__(self):
        check("direction of a metric", self.better, DIRECTIONS)
        if not self.scale > 0 or self.digits < 0:
            got = f"got scale={self.scale} and digits={self.digits}"
            raise ValueError(
                f"the scale of a metric is above 0 and its digits are not negative; {got} "
                f'(where less is better, say better="lower" of {self.name!r})'
            )

    @property
    def words(self) -> str:
        """The name for people, such as "test accuracy"."""
        return self.name.replace("_", " ")

    @property
    def of_values(self) -> tuple[float, int, str]:
        """Scale, digits and unit of a value, as opposed to those of a difference."""
        if self.unit != "points":
            return self.scale, self.digits, self.unit
        return 1.0, self.digits + round(log10(self.scale)), ""

    @property
    def head(self) -> str:
        """The head of a column of values, such as "test loss" or "train time (s)"."""
        unit = self.of_values[2]
        return f"{self.words} ({unit})" if unit else self.words

    def judge(self, low: float, high: float) -> str | None:
        """Say whether an interval of a difference makes the first better or worse, or neither."""
        if not (low > 0 or high < 0):  # (what is no number is no verdict)
            return None
        return "better" if (low > 0) == (self.better == "higher") else "worse"


# What the last or first word of a name means; anything else is a Metric of one's own.
KINDS: dict[str, dict[str, Any]] = {
    "accuracy": dict(better="higher"),
    "recall": dict(better="higher"),
    "precision": dict(better="higher"),
    "error": dict(better="lower"),
    "loss": dict(better="lower", unit="", scale=1.0, digits=4),
    "time": dict(better="lower", unit="s", scale=1.0, digits=3),
    "seconds": dict(better="lower", unit="s", scale=1.0, digits=3),
    "bytes": dict(better="lower", unit="MB", scale=1e-6, digits=3),
}


def metric_of(metric: "str | Metric") -> Metric:
    """Return the metric itself, or the one that a name stands for.

    Raises:
        ValueError: a name of which nobody can say whether more of it is better.
    """
    if isinstance(metric, Metric):
        return metric
    words = metric.split("_")
    for word in (words[-1], words[0]):
        if word in KINDS:
            return Metric(metric, **KINDS[word])
    raise ValueError(
        f"metric {metric!r}: is more of it better, or less? Names that say so begin or end with "
        f'{", ".join(KINDS)}; for others write Plan(metric=Metric({metric!r}, better="higher", '
        'unit="", scale=1)) with `from harness.metric import Metric`'
    )


ACCURACY = metric_of("test_accuracy")
