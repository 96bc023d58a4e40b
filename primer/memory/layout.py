"""Where the numbers of an array lie: strides, addresses, views, cache lines.

    address of a[i, j] = address of a[0, 0] + i * stride[0] + j * stride[1]        in bytes

    order C (rows)       strides = (columns * item, item)
    order F (columns)    strides = (item, rows * item)

A view is another start with other strides, on the same bytes: a[::2] doubles a stride, a.T swaps
two, a[::-1] has a negative one, and a broadcast axis has stride 0.
"""

import ctypes
from collections.abc import Sequence
from math import ceil

import numpy as np

LINE = 64  # bytes that memory hands over at once, on nearly all processors of today


def strides(shape: Sequence[int], item: int, order: str = "C") -> tuple[int, ...]:
    """Return the strides of a fresh array: the last axis is the densest in C, the first in F."""
    sizes = list(shape) if order == "F" else list(shape)[::-1]
    steps = [item * int(np.prod(sizes[:k], dtype=int)) for k in range(len(sizes))]
    return tuple(steps if order == "F" else steps[::-1])


def offsets(shape: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """Return the distance of each number from the first, row by row."""
    axes = np.indices(tuple(shape)).reshape(len(shape), -1)
    return np.array(steps, dtype=int) @ axes if len(shape) else np.zeros(1, dtype=int)


def start(a: np.ndarray) -> int:
    """Return the address of the first number."""
    return a.__array_interface__["data"][0]


def addresses(a: np.ndarray) -> np.ndarray:
    """Return the address of each number, in the order in which a loop by rows reads them."""
    return start(a) + offsets(a.shape, a.strides)


def peek(address: int, dtype: np.dtype):
    """Return the number at an address of this process, past NumPy."""
    return np.frombuffer(ctypes.string_at(int(address), dtype.itemsize), dtype)[0]


def meet(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays have a byte in common; the slow twin of np.shares_memory."""
    spans = [
        {byte for at in addresses(x).tolist() for byte in range(at, at + x.itemsize)}
        for x in (a, b)
    ]
    return bool(spans[0] & spans[1])


def lines(numbers: int, stride: int, item: int, line: int = LINE) -> int:
    """Return how many lines a walk touches that begins with one; a stride divides it or is more.

    Raises:
        ValueError: a walk that stays where it is, or goes back.
    """
    if stride < 1:
        raise ValueError(f"a walk goes on: stride must be 1 byte or more, got {stride}")
    if stride >= line:
        return numbers
    return ceil(((numbers - 1) * stride + item) / line)
