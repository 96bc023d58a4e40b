"""Lays out a pattern as the kernels read it: int32 tables, by outputs and by inputs.

    by outputs   indptr (out + 1), inputs (n)
    by inputs    indptr (in + 1), outputs (n), order (n): where values, which stand by outputs, go

with one row for each member of a stack whose patterns differ. A convolution's inputs are its
channels; with groups, those of all groups.
"""

import ctypes
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch

from bibd.pattern import Pattern

WINDOWS = 32, 64


class Rows(ctypes.Structure):
    """The struct Rows of linear.h, for ctypes."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("indptr", "cols", "order", "base", "lane")),
        *(
            (name, ctypes.c_int64)
            for name in ("rows", "inputs", "nonzeros", "tables", "steps", "window")
        ),
    ]


class Table:
    """Both ways to read the connections, as the library wants them."""

    def __init__(self, flat: np.ndarray, inputs: int, outputs: int, groups: int = 1):
        """Build from places (tables, n) in the row-major (outputs, inputs of a group) weight."""
        self.inputs, self.outputs, self.groups = inputs, outputs, groups
        tables, self.nonzeros = flat.shape
        if max(flat.shape[1], inputs, outputs) >= 2**31:
            raise ValueError("this layer is too large for the native kernels: backend='dense'")
        with torch.inference_mode(False):
            self.flat = torch.from_numpy(np.array(flat, np.int64))
        rows = flat // (inputs // groups)  # (np.divmod takes twice as long)
        cols = flat - rows * (inputs // groups)
        if groups > 1:
            cols = cols + rows // (outputs // groups) * (inputs // groups)
        short = cols.astype(np.uint16) if inputs <= 2**16 else cols  # (numpy sorts these by digits)
        order = np.argsort(short, axis=1, kind="stable")
        first, second = _starts(rows, outputs), _starts(cols, inputs)
        outs = np.stack([row.take(at) for row, at in zip(rows, order, strict=True)])
        by_row = first, cols, second, outs, order
        self.kept = [np.ascontiguousarray(t, np.int32) for t in by_row]  # what pointers point to
        at = [t.ctypes.data for t in self.kept]
        near, steps, window = [None, None], 0, 0
        slices = sliced(rows[0], cols[0], first[0], inputs) if tables == 1 else None
        if slices is not None:
            base, lane, steps, window = slices
            near = [t.ctypes.data for t in (base, lane)]
            self.kept += [base, lane]
        sizes = self.nonzeros, tables
        self.by_output = Rows(*at[:2], None, *near, outputs, inputs, *sizes, steps, window)
        self.by_input = Rows(*at[2:], None, None, inputs, outputs, *sizes, 0, 0)
        self.out, self.back = ctypes.addressof(self.by_output), ctypes.addressof(self.by_input)


def _starts(of: np.ndarray, size: int) -> np.ndarray:
    """Return where each of `size` values begins in a sorted row."""
    counts = np.stack([np.bincount(row, minlength=size) for row in of])
    return np.concatenate([np.zeros((len(of), 1), np.int64), counts.cumsum(1)], 1)


_tables: WeakKeyDictionary[Pattern, Table] = WeakKeyDictionary()
_stacks: WeakKeyDictionary[Pattern, Table] = WeakKeyDictionary()  # by the pattern of the whole


def table(pattern: Pattern) -> Table:
    """Return the table of a pattern, built once and shared by every layer that holds it."""
    found = _tables.get(pattern)
    if found is None:
        sizes = pattern.in_features * pattern.groups, pattern.out_features, pattern.groups
        found = _tables[pattern] = Table(pattern.flat[None], *sizes)
    return found


def held(pattern: Pattern) -> int:
    """Return the bytes of the table of a pattern; 0 where no kernel has asked for one."""
    found = _tables.get(pattern)
    return 0 if found is None else found.flat.nbytes + sum(each.nbytes for each in found.kept)


def stacked(whole: Pattern, members: Sequence[Pattern]) -> Table:
    """Return the table of a stack whose members side by side are `whole`.

    It has one row if all members are equal.
    """
    first = members[0]
    if all(p is first for p in members):
        return table(first)
    found = _stacks.get(whole)
    if found is None:
        flat = np.stack([p.flat for p in members])
        equal = (flat == flat[0]).all()
        found = table(first) if equal else Table(flat, first.in_features, first.out_features)
        _stacks[whole] = found
    return found


def sliced(rows: np.ndarray, cols: np.ndarray, first: np.ndarray, inputs: int):
    """Find where 16 outputs at a time have their j-th inputs side by side, as in planes.

    Returns:
        First input of each window (blocks, steps), -1 where a block does not fit; the inputs
        counted from there (blocks, steps, 16); steps; and the size of the windows. None if most
        blocks do not fit.
    """
    steps, blocks = int(np.diff(first).max(initial=0)), -(-(len(first) - 1) // 16)
    if steps == 0 or steps * blocks * 16 > 2 * len(rows) + 4096:
        return None
    middle = first[:-1] + steps // 2
    column = np.full((blocks * 16, 1), -1)
    column[: len(middle), 0] = np.where(
        middle < first[1:], cols[np.minimum(middle, len(cols) - 1)], -1
    )
    if not any(fit.all(1).sum() * 2 > blocks for _, fit, _ in _windows(column, inputs)):
        return None  # (as of most random tables; the whole takes longer)
    at = np.full((blocks * 16, steps), -1)
    at[rows, np.arange(len(rows)) - first[rows]] = cols
    for base, fit, window in _windows(at, inputs):
        fits = fit.all(1)
        if 2 * fits.sum() > blocks:
            inside = at.reshape(blocks, 16, steps).transpose(0, 2, 1)
            base = np.where(fits[:, None], base, -1)
            lane = np.where(inside < 0, 0, inside - base[..., None]) * fits[:, None, None]
            kept = np.ascontiguousarray(base, np.int32), np.ascontiguousarray(lane, np.uint8)
            return *kept, steps, window
    return None


def _windows(at: np.ndarray, inputs: int):
    """Yield where windows of each size would begin, and whether they fit (blocks, steps)."""
    blocks, steps = len(at) // 16, at.shape[1]
    at = at.reshape(blocks, 16, steps)
    low, high = np.where(at < 0, inputs, at).min(1), at.max(1)
    for window in WINDOWS:
        base = np.minimum(low, inputs - window)
        yield base, (base >= 0) & (high - base < window), window
