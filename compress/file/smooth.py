"""Logarithm and logistic function that give the same bits on every machine.

A decoder must find the very probabilities that the coder had. The functions of libraries differ in
the last digit between processors; sums, products and quotients of IEEE 754 do not. So these are
made of those alone, element by element, and sums are exact (math.fsum).
"""

import math

import numpy as np

LN2 = 0.6931471805599453
SQUARINGS = 10


def ln(x: np.ndarray) -> np.ndarray:
    """Return the logarithm of positive numbers, to about nine digits.

    ln m = 2 artanh t with t = (m - 1) / (m + 1), abs(t) <= 1/3.
    """
    part, power = np.frexp(np.asarray(x, dtype=np.float64))
    t = (part - 1) / (part + 1)
    square, total = t * t, np.zeros_like(t)
    for k in range(17, 0, -2):
        total = total * square + 1 / k
    return 2 * t * total + power * LN2


def logistic(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z) to about seven digits, by e^z = (e^(z/1024))^1024.

    Beyond 20 it stays as at 20.
    """
    t = np.clip(np.asarray(z, dtype=np.float64), -20, 20) / -(1 << SQUARINGS)
    power = 1 + t * (1 + t * (0.5 + t * (1 / 6 + t / 24)))
    for _ in range(SQUARINGS):
        power = power * power
    return 1 / (1 + power)


def total(values: np.ndarray) -> float:
    """Return the sum, rounded once."""
    return math.fsum(values.tolist())
