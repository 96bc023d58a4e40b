"""What an identity is, and how far off it may be.

exact       whole numbers
bitwise     the same operations in the same order: not one bit differs
rounding    the same mathematics in another order, in float64; a bound of its own is derived
            from the sizes of its numbers, and none is above 1e-12 but where it says so
negative    must differ by more than its bound: shows that the check can tell
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from harness.result.findings import LIMITS

ROUNDING = 2.0**-53  # the relative error of one operation in float64


class Identity(NamedTuple):
    """Its title, its class, what computes how far off it is, and its bound (None: its class's)."""

    title: str
    kind: str
    check: Callable[[], float]
    limit: float | None = None

    @property
    def bound(self) -> float:
        """How far off it may be; a negative one must be further off."""
        return LIMITS[self.kind] if self.limit is None else self.limit


def roundings(operations: float, size: float) -> float:
    """Return the bound of so many roundings of numbers of this size."""
    return operations * ROUNDING * max(1.0, size)


def furthest(*values: float) -> float:
    """Return the largest value; infinite where one is NaN (which `max` may pass over)."""
    return max(math.inf if math.isnan(v) else float(v) for v in values)


def apart(found: torch.Tensor, made: torch.Tensor) -> float:
    """Return the largest difference; none between equal infinities, an infinite one from NaN."""
    return furthest(float(torch.where(found == made, 0.0, (found - made).abs()).max()))
