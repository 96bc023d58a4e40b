"""Decides who leaves at an exit: the rule, and the thresholds that it takes.

A sample leaves at the first exit whose score lies above the threshold; at 0 everything leaves, at 1
nothing. The net's own forward pass, recorded scores and the search for thresholds all ask here.
"""

from collections.abc import Sequence
from typing import Any

Thresholds = float | Sequence[float]


def leaves(score: Any, threshold: Any) -> Any:
    """Return which samples are sure enough: all at threshold 0, none at 1, despite rounding.

    Scores and thresholds may be tensors, arrays or numbers, of any shapes that broadcast.
    """
    if isinstance(threshold, int | float) and 0 < threshold < 1:
        return score > threshold  # (what follows, in one operation)
    return (score > threshold) & (threshold < 1) | (threshold <= 0)


def check_thresholds(
    thresholds: Thresholds, heads: int | None, what: str = "early exits"
) -> tuple[float, ...]:
    """Return one threshold per head; a single number stands for all heads.

    Args:
        thresholds: One number for all, or one per head.
        heads: How many there are; None: not known yet, of a single number.
        what: What the error calls them.

    Raises:
        ValueError: too many, too few, or one outside [0, 1].
    """
    if hasattr(thresholds, "tolist"):  # of numpy or torch
        thresholds = thresholds.tolist()  # pyright: ignore
    one = isinstance(thresholds, int | float)
    count = 1 if heads is None else heads
    bounds = (thresholds,) * count if one else tuple(thresholds or ())
    numbers = all(isinstance(b, int | float) and 0 <= b <= 1 for b in bounds)
    if len(bounds) != count or not numbers:
        each = f" for each of {heads} {what} (or one for all)" * (heads is not None)
        raise ValueError(
            f"expected a threshold in [0, 1]{each}, got {thresholds!r}; 0 lets every sample leave "
            "there, 1 none"
        )
    return tuple(float(b) for b in bounds)
