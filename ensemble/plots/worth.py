"""How many independent members an ensemble is worth, by its calibrated likelihood.

    independent members    1     2     3    ...    9        calibrated NLL  .52  .46  .44 ... .40
    snapshots, .435 (.42 to .45)                            are worth 3.3 of them (2.5 to 5)

(The deep-ensemble equivalent.) The curve is the mean over seeds; the interval is that of the
ensemble's own likelihood over seeds, read off the curve. Beyond the curve there is no number.
"""

from statistics import fmean
from typing import NamedTuple

from ensemble.scores.equivalence import equivalent
from harness.experiment import Experiment
from harness.result.stats import interval

PLAIN, SCORE = "independent", "calibrated_nll"


class Worth(NamedTuple):
    """Independent members: 0 where fewer than one would do, None where more than were measured."""

    members: float | None
    low: float | None
    high: float | None
    most: int

    @property
    def text(self) -> str:
        """The number and its interval, or that there is none."""
        if not self.members:
            return f"none ({self._say(self.members)})"
        ends = (
            "" if self.low == self.high else f" ({self._say(self.low)} to {self._say(self.high)})"
        )
        return f"{self._say(self.members)}{ends}"

    def _say(self, count: float | None) -> str:
        if count is None:
            return f"above {self.most}"
        return f"{float(f'{count:.10g}'):.1f}" if count else "below 1"


def curve(whole: Experiment, net: str) -> dict[int, float]:
    """Return the calibrated NLL of so many independent members of a net, the mean over seeds."""
    found: dict[int, list[float]] = {}
    for run in whole.done():
        if run.arm == f"{net}-{PLAIN}":
            for row in run.rows:
                found.setdefault(row["epoch"], []).append(row[SCORE])
    return {members: fmean(values) for members, values in found.items()}


def worth(whole: Experiment, net: str, kind: str) -> Worth | None:
    """Return what an ensemble is worth; None where nothing was measured to tell."""
    plain, values = curve(whole, net), whole.last(f"{net}-{kind}", SCORE).values()
    if not plain or not values:
        return None
    found = interval(values)
    low, high = found.ends
    return Worth(
        equivalent(found.mean, plain), equivalent(high, plain), equivalent(low, plain), max(plain)
    )


def told(whole: Experiment, net: str, kind: str) -> str:
    """Return what an ensemble is worth in words; a dash where nothing tells."""
    found = worth(whole, net, kind)
    return found.text if found else "-"
