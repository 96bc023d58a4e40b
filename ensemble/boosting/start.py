"""Checks what boosting starts from: weights of samples, counts, and states that were saved."""

from numbers import Real
from typing import Any

import numpy as np

from bibd.pattern import check_whole

Array = np.ndarray


def started(sample_weight: Any) -> Array:
    """Return weights of samples as float64, 1 in sum.

    Raises:
        ValueError: they are not a row of numbers, one is negative, infinite or NaN, all are 0.
    """
    w = np.array(sample_weight, dtype=np.float64)
    if w.ndim != 1 or not len(w):
        raise ValueError(f"sample weights are a row of numbers, got shape {w.shape}")
    if not np.isfinite(w).all() or (w < 0).any():
        at = int(np.flatnonzero(~(np.isfinite(w) & (w >= 0)))[0])
        raise ValueError(f"sample weights are finite and not negative, got {w[at]} of sample {at}")
    if not w.any():
        raise ValueError("all sample weights are 0: there is nothing to learn from")
    return w / w.sum()


def refuse_count(saved: int, here: int) -> None:
    """Raise ValueError, with both numbers, if a state is one of another count of members."""
    if saved != here:
        raise ValueError(
            f"this is the state of {saved} members, and here are {here}: make as many of them"
        )


def fits(classes: int, members: int, learning_rate: float) -> None:
    """Raise ValueError if nothing can be boosted with these numbers."""
    if classes < 2:
        raise ValueError(f"there is nothing to tell apart in {classes} class: y needs at least two")
    check_whole("members", members, 1)
    if not isinstance(learning_rate, Real) or not 0 < learning_rate < np.inf:
        raise ValueError(f"learning_rate is a number above 0, got {learning_rate!r}")
