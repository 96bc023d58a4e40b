"""Forward mode: numbers that carry their tangent along.

    (a, t) -> (f(a), f'(a) t)        nothing is kept once the next pair is there

>>> y, tangent = jvp(lambda x: (W @ x).tanh(), x, direction)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from primer.autodiff.ops import OPS
from primer.autodiff.overloaded import Overloaded, returned
from primer.count import alive, plus


class Dual(Overloaded):
    """A value and its tangent."""

    def __init__(self, value: np.ndarray, tangent: np.ndarray):
        self.value, self.tangent = value, tangent

    def apply(self, op: str, *inputs: Any) -> "Dual":
        """Compute the value, and push the tangents of those inputs that have one."""
        rule = OPS[op]
        values = [i.value if isinstance(i, Dual) else np.asarray(i) for i in inputs]
        y = rule.forward(*values)
        tangent = None
        for push, i in zip(rule.pushes, inputs, strict=True):
            if isinstance(i, Dual):
                part = push(i.tangent, y, *values)
                tangent = part if tangent is None else plus(tangent, part)
        assert tangent is not None, op
        alive(y, tangent)
        return Dual(y, tangent)


def jvp(f: Callable, x: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return f(x) and the derivative of f at x along a direction: J times the direction."""
    y = returned(f(Dual(x, direction)), Dual)
    return y.value, y.tangent
