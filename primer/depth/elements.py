"""Work and depth of a step where every number is somebody's: with as many workers as one likes.

A sum of k numbers is made in a tree of ceil(log2 k) levels, so that a product of matrices with k
numbers in common takes 1 + ceil(log2 k), however large they are. `Scalar` is a number that knows
how deep it lies, and counts what was made of it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np


class Scalar:
    """A number; `made` are all operations so far, `products` those that were products."""

    made = products = 0

    def __init__(self, value: float, depth: int = 0):
        self.value, self.depth = float(value), depth

    def __add__(self, other: "Scalar") -> "Scalar":
        return self._made(self.value + other.value, other)

    def __sub__(self, other: "Scalar") -> "Scalar":
        return self._made(self.value - other.value, other)

    def __mul__(self, other: "Scalar") -> "Scalar":
        Scalar.products += 1
        return self._made(self.value * other.value, other)

    def positive(self) -> "Scalar":
        """Return max(0, self)."""
        return self._made(max(self.value, 0.0), self)

    def masked(self, y: "Scalar") -> "Scalar":
        """Return itself where y is above 0, else 0."""
        return self._made(self.value * (y.value > 0), y)

    def _made(self, value: float, other: "Scalar") -> "Scalar":
        Scalar.made += 1
        return Scalar(value, 1 + max(self.depth, other.depth))


positive: Any = np.frompyfunc(Scalar.positive, 1, 1)
masked: Any = np.frompyfunc(Scalar.masked, 2, 1)
scalars: Any = np.frompyfunc(Scalar, 1, 1)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a @ b of scalars, each sum in a tree."""
    return np.array([[_sum(row * column) for column in b.T] for row in a])


def _sum(parts: Any) -> Scalar:
    parts = list(parts)
    while len(parts) > 1:
        left, right, rest = parts[::2], parts[1::2], parts[len(parts) & ~1 :]
        parts = [x + y for x, y in zip(left, right, strict=False)] + rest
    return parts[0]


def gradients(weights: Sequence[np.ndarray], x: np.ndarray, target: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of |y - target|^2 / 2 for layers of max(0, x W), all of scalars."""
    y = [x]
    for w in weights:
        y.append(positive(matmul(y[-1], w)))
    dy, found = y[-1] - target, []
    for layer in range(len(weights) - 1, -1, -1):
        dz = masked(dy, y[layer + 1])
        found.append(matmul(y[layer].T, dz))
        if layer:
            dy = matmul(dz, weights[layer].T)
    return found[::-1]


def made(widths: Sequence[int], batch: int) -> int:
    """Return how many operations that takes: of a sum of k products 2 k - 1."""
    found = batch * widths[-1]
    for layer, (k, m) in enumerate(pairwise(widths)):
        found += batch * m * (2 * k - 1) + 2 * batch * m + k * m * (2 * batch - 1)
        found += batch * k * (2 * m - 1) * (layer > 0)
    return found


def depth(widths: Sequence[int], batch: int) -> int:
    """Return the longest chain: there, back, and the sum over the batch in the first layer."""
    there = sum(2 + _levels(k) for k in widths[:-1])
    back = sum(2 + _levels(m) for m in widths[2:])
    return there + 1 + back + 2 + _levels(batch)


def _levels(k: int) -> int:
    return (k - 1).bit_length()
