"""Says how many plain members an ensemble is worth: the deep-ensemble equivalent.

    plain members     1      2      3      4          calibrated NLL .30  .26  .24  .23
    an ensemble of .25 is worth 2.5 of them

(Ashukha and others, "Pitfalls of in-domain uncertainty estimation", 2020.) Both sides are
calibrated, or the number says who was calibrated and not who knows more.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import isfinite


def equivalent(value: float, plain: Mapping[int, float]) -> float | None:
    """Return the number of plain members that reach this calibrated negative log-likelihood.

    Args:
        value: The calibrated NLL of what is judged.
        plain: The calibrated NLL of so many plain members, by their number.

    Returns:
        The first crossing, interpolated between the numbers that are there; 0.0 where the value is
        worse than that of the fewest, None where it is better than all: more than were measured.

    Raises:
        ValueError: no plain members, numbers of them below 1, or an NLL that is not finite.
    """
    points = sorted(plain.items())
    numbers = [value, *plain.values()]
    if not points or points[0][0] < 1 or not all(map(isfinite, numbers)):
        raise ValueError(
            f"expected a finite NLL, and those of 1 and more plain members as {{1: .30, 2: .26}}; "
            f"got {value} and {dict(plain)}"
        )
    if value > points[0][1]:
        return 0.0
    if value == points[0][1]:
        return float(points[0][0])
    for (few, above), (more, below) in pairwise(points):
        if below <= value:  # (and `above` is not: this is the first crossing)
            return few + (above - value) / (above - below) * (more - few)
    return None
