"""A slow twin of primer.count: numbers that count their own products, in arrays of objects."""

import math

import numpy as np


class Scalar:
    """A number; `made` are the products that all of them took part in, and functions of one."""

    made = 0

    def __init__(self, value):
        self.value = float(value)

    def _product(self, other):
        Scalar.made += 1
        return Scalar(self.value * getattr(other, "value", other))

    __mul__ = __rmul__ = _product

    def __add__(self, other):
        return Scalar(self.value + getattr(other, "value", other))

    __radd__ = __add__

    def __sub__(self, other):
        return Scalar(self.value - getattr(other, "value", other))

    def __rsub__(self, other):
        return Scalar(getattr(other, "value", other) - self.value)

    def _function(self, f):
        Scalar.made += 1
        return Scalar(f(self.value))

    def tanh(self):
        return self._function(math.tanh)

    def exp(self):
        return self._function(math.exp)

    def sin(self):
        return self._function(math.sin)

    def cos(self):
        return self._function(math.cos)


def scalars(array):
    """The array, of such numbers."""
    return np.vectorize(Scalar, otypes=[object])(array)


def plain(array):
    """And back."""
    return np.vectorize(lambda s: getattr(s, "value", s), otypes=[float])(array)


def products(f):
    """What f returns, and how many products that took."""
    before = Scalar.made
    return f(), Scalar.made - before
