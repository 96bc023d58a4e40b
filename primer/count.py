"""Counts what arrays cost while they are computed.

    with counting() as count:
        matmul(a, b)
    count.macs                  # a's rows * a's columns * b's columns

Multiply-adds (`macs`) and plain additions (`adds`) are read off the arrays as they are multiplied;
a complex product is four real ones. `most` is the largest sum of bytes that was alive at a time, of
what the code declares by `alive` and `holding`. Nothing is counted outside of `counting()`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)  # (two that have counted as much are not the same one)
class Counter:
    """What was counted; `held` is what `holding` holds at the moment."""

    macs: int = 0
    adds: int = 0
    most: int = 0
    held: int = 0


_open: list[Counter] = []


@contextmanager
def counting() -> Iterator[Counter]:
    """Count what happens inside the block, also in blocks that are inside of another."""
    count = Counter()
    _open.append(count)
    try:
        yield count
    finally:
        _open.remove(count)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a @ b: as many multiply-adds as the result has entries, times the common axis."""
    result = a @ b
    note(macs=np.size(result) * a.shape[-1] * _reals(result))
    return result


def times(a, b) -> np.ndarray:
    """Return a * b, entry by entry."""
    result = np.multiply(a, b)
    note(macs=result.size * _reals(result))
    return result


def plus(a, b, sign: int = 1) -> np.ndarray:
    """Return a + b, or a - b; no multiplications."""
    result = np.add(a, b) if sign == 1 else np.subtract(a, b)
    note(adds=result.size)
    return result


def watched() -> bool:
    """Return whether somebody counts; if not, nothing need be put together to be counted."""
    return bool(_open)


def note(macs: int = 0, adds: int = 0) -> None:
    """Add to all open counters."""
    for count in _open:
        count.macs += macs
        count.adds += adds


def alive(*arrays: np.ndarray) -> None:
    """Say that these arrays are held now, beside what `holding` holds; each once."""
    if not watched():
        return
    size = sum(a.nbytes for a in {id(a): a for a in arrays}.values())
    for count in _open:
        count.most = max(count.most, count.held + size)


@contextmanager
def holding(*arrays: np.ndarray) -> Iterator[None]:
    """Say that these arrays are held for as long as the block runs."""
    size, counters = sum(a.nbytes for a in arrays), list(_open)
    for count in counters:
        count.held += size
    alive()
    try:
        yield
    finally:
        for count in counters:
            count.held -= size


def _reals(result: np.ndarray) -> int:
    return 4 if np.iscomplexobj(result) else 1
