"""Chooses for a column of times the unit that fits, and digits that are the same in every line.

0.0531, 0.124 s        ->  53.1, 124.0 ms
0.000236, 0.0017 s     ->  236, 1,700 us
"""

from collections.abc import Sequence
from math import floor, isfinite, log10

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def fitting(seconds: Sequence[float]) -> tuple[str, list[str]]:
    """Return the unit in which the least time is 1 at least, and the texts of all times.

    The least time (zero and what is not finite aside) has three digits that count, and all have as
    many after the point.
    """
    least = min((abs(value) for value in seconds if value and isfinite(value)), default=1.0)
    unit = next((name for name, scale in UNITS.items() if least * scale >= 1), "ns")
    digits = max(0, 2 - floor(log10(least * UNITS[unit])))
    return unit, [f"{value * UNITS[unit]:,.{digits}f}" for value in seconds]
