"""A pattern as the kernels read it: int32 tables, by outputs and by inputs, and where they lie.

    packed   indptr (out + 1) | inputs (n) | indptr (in + 1) | outputs (n) | order (n)

one row for each member of a stack whose patterns differ. `order` takes values, which stand by
outputs, to where the table by inputs wants them. A convolution's inputs are its channels; groups
are already added to them.
"""

import ctypes
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch

from bibd.pattern import Pattern

WINDOWS = 32, 64


class Rows(ctypes.Structure):
    """Rows of linear.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("indptr", "cols", "order", "base", "lane")),
        *(
            (name, ctypes.c_int64)
            for name in ("rows", "inputs", "nonzeros", "tables", "steps", "window")
        ),
    ]


class Table:
    """The packed tensor, and both ways to read it as the library wants them."""

    def __init__(self, packed: torch.Tensor, inputs: int, outputs: int, pattern=None):
        self.packed, self.inputs, self.outputs = packed, inputs, outputs
        tables, width = packed.shape
        self.nonzeros = n = (width - inputs - outputs - 2) // 3
        ends = np.cumsum([outputs + 1, n, inputs + 1, n, n])
        first, cols, second, rows, order = (
            packed[:, a:b].contiguous() for a, b in zip([0, *ends[:-1]], ends, strict=True)
        )
        slices = sliced(pattern) if pattern is not None and tables == 1 else None
        self.kept = first, cols, second, rows, order, slices  # what the pointers point to
        base, lane, steps, window = slices or (None, None, 0, 0)
        at = [t.data_ptr() for t in (first, cols)]
        near = [
            None if base is None else base.ctypes.data,
            None if lane is None else lane.ctypes.data,
        ]
        self.by_output = Rows(*at, None, *near, outputs, inputs, n, tables, steps, window)
        at = [t.data_ptr() for t in (second, rows, order)]
        self.by_input = Rows(*at, None, None, inputs, outputs, n, tables, 0, 0)
        self.out, self.back = ctypes.addressof(self.by_output), ctypes.addressof(self.by_input)

    def flat(self) -> torch.Tensor:
        """Where each connection stands in the row-major (out, in) weight: (tables, n)."""
        indptr, cols = (t.long() for t in self.kept[:2])
        outputs = torch.arange(self.outputs, device="cpu").expand(len(cols), -1)
        rows = outputs.flatten().repeat_interleave(indptr.diff().flatten())
        return rows.view(cols.shape) * self.inputs + cols


_tables: WeakKeyDictionary[Pattern, Table] = WeakKeyDictionary()


def table(pattern: Pattern) -> Table:
    """The table of a pattern, built once and shared by every layer that holds it."""
    found = _tables.get(pattern)
    if found is None:
        inputs = pattern.in_features * pattern.groups
        packed = torch.from_numpy(pack(pattern)[None])
        found = _tables[pattern] = Table(packed, inputs, pattern.out_features, pattern)
    return found


def stacked(whole: Pattern, members: Sequence[Pattern]) -> Table:
    """The table of a stack, whose members side by side are `whole`: one row if all are equal."""
    if all(p is members[0] for p in members):
        return table(members[0])
    found = _tables.get(whole)
    if found is None:
        rows = [pack(p) for p in members]
        if all(np.array_equal(row, rows[0]) for row in rows):
            found = table(members[0])
        else:
            packed = torch.from_numpy(np.stack(rows))
            found = Table(packed, members[0].in_features, members[0].out_features)
        _tables[whole] = found
    return found


def pack(p: Pattern) -> np.ndarray:
    """One row of the packed table."""
    inputs = p.in_features * p.groups
    if max(p.nonzeros, inputs, p.out_features) >= 2**31:
        raise ValueError(f"{p} is too large for the native kernels: use backend='dense'")
    cols = p.indices + p.rows // (p.out_features // p.groups) * p.in_features
    order = np.argsort(cols, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(cols, minlength=inputs))])
    return np.concatenate([p.indptr, cols, ends, p.rows[order], order]).astype(np.int32)


def sliced(p: Pattern) -> tuple[np.ndarray, np.ndarray, int, int] | None:
    """Where 16 outputs at a time find their j-th inputs side by side (planes over a field do).

    Returns:
        First input of each window (blocks, steps), the inputs counted from there (blocks, steps,
        16), steps, and the size of the windows; None if some do not fit.
    """
    steps, blocks = int(p.fan_in.max(initial=0)), -(-p.out_features // 16)
    if steps == 0 or steps * blocks * 16 > 2 * p.nonzeros + 4096:
        return None
    cols = np.full((blocks * 16, steps), -1)
    cols[p.rows, np.arange(p.nonzeros) - p.indptr[p.rows]] = p.indices
    cols = cols.reshape(blocks, 16, steps).transpose(0, 2, 1)
    first, last = np.where(cols < 0, p.in_features, cols).min(2), cols.max(2)
    for window in WINDOWS:
        base = np.minimum(first, p.in_features - window)
        if base.min() >= 0 and (last - base).max() < window:
            lane = np.where(cols < 0, 0, cols - base[..., None])
            kept = np.ascontiguousarray(base, np.int32), np.ascontiguousarray(lane, np.uint8)
            return *kept, steps, window
    return None
