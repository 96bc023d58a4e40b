"""What a step costs over the batch: bytes, multiply-adds, seconds.

A net of layers w0 -> w1 -> ... -> wk with ReLU between and cross-entropy behind, batch B, float32:

    weights       N = sum of w_i w_(i+1) + w_(i+1)
    held          4 (2 + c) N          weights, gradients, c numbers of the optimizer for each
    kept          B (4 (w0 + w1 + ... + wk) + 8) + 4
                                       inputs, what each ReLU let through, log-probabilities;
                                       the class as int64, and one sum for all samples
    multiply-adds B (3 sum of w_i w_(i+1) - w0 w1)
                                       forwards, weights' gradients, inputs' (but for the first)
    seconds       a + b B              a for the call, however small the batch is
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

ITEM, CLASS = 4, 8  # bytes of a float32 number, and of a class


def weights(widths: Sequence[int]) -> int:
    """Return how many numbers are trained."""
    return sum(a * b + b for a, b in pairwise(widths))


def held(widths: Sequence[int], copies: int = 1) -> int:
    """Return the bytes of weights, gradients, and so many copies that the optimizer keeps."""
    return ITEM * (2 + copies) * weights(widths)


def kept(widths: Sequence[int], batch: int) -> int:
    """Return the bytes that a forward pass leaves for the backward pass."""
    return batch * (ITEM * sum(widths) + CLASS) + ITEM


def macs(widths: Sequence[int], batch: int) -> int:
    """Return the multiply-adds of both passes."""
    products = [a * b for a, b in pairwise(widths)]
    return batch * (3 * sum(products) - products[0])


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return a and b of y = a + b x, by the least squares of relative errors."""
    each = 1 / np.asarray(y, float)
    found, *_ = np.linalg.lstsq(np.stack([each, x * each], 1), np.ones(len(y)), rcond=None)
    return float(found[0]), float(found[1])
