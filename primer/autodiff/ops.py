"""The operations, each with its derivative from either side.

For y = f(a, b): `pushes[i]` carries a tangent of input i to one of y (forward mode), `pulls[i]`
carries a gradient of y back to one of input i (reverse mode). They are transposes of each other:
<g, push(t)> = <pull(g), t>. `reads[i]` says what pull i needs: "y" the result, "0" or "1" an input;
this is what a tape has to keep.

    op       y        push of a            pull to a           keeps
    matmul   a b      t b                  g b^T               the other factor
    add      a + b    t                    g                   nothing
    mul      a * b    t * b                g * b               the other factor
    tanh     tanh a   (1 - y^2) t          (1 - y^2) g         y
    exp      e^a      y t                  y g                 y
    sin      sin a    cos(a) t             cos(a) g            a
    total    sum a    sum t                g, to each entry    nothing

A function of each entry (tanh, exp, sin) counts as one multiply-add an entry.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from primer.count import matmul, note, plus, times

Rule = Callable[..., np.ndarray]  # (tangent or gradient, y, *inputs) -> gradient or tangent


@dataclass(frozen=True)
class Op:
    """A function of one or two arrays, and how derivatives pass it."""

    forward: Callable[..., np.ndarray]
    pushes: tuple[Rule, ...]
    pulls: tuple[Rule, ...]
    reads: tuple[str, ...]


def _each(function: Callable) -> Callable[..., np.ndarray]:
    def forward(a):
        note(macs=np.size(a))
        return function(a)

    return forward


def _slope_tanh(t, y, a):
    return plus(t, times(times(y, y), t), -1)


def _slope_exp(t, y, a):
    return times(y, t)


def _slope_sin(t, y, a):
    return times(_each(np.cos)(a), t)


def _flip(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(a, -1, -2)


def _first(t, y, a, b):
    return times(t, b)


def _second(t, y, a, b):
    return times(a, t)


def _same(t, y, a, b):
    return t


def _sum(t, y, a):
    return np.asarray(t.sum() if t.shape == a.shape else t.sum(0))  # (several tangents of a column)


OPS = {
    "matmul": Op(
        matmul,
        (lambda t, y, a, b: matmul(t, b), lambda t, y, a, b: matmul(a, t)),
        (lambda g, y, a, b: matmul(g, _flip(b)), lambda g, y, a, b: matmul(_flip(a), g)),
        ("1", "0"),
    ),
    "add": Op(plus, (_same, _same), (_same, _same), ("", "")),
    "mul": Op(times, (_first, _second), (_first, _second), ("1", "0")),
    "tanh": Op(_each(np.tanh), (_slope_tanh,), (_slope_tanh,), ("y",)),
    "exp": Op(_each(np.exp), (_slope_exp,), (_slope_exp,), ("y",)),
    "sin": Op(_each(np.sin), (_slope_sin,), (_slope_sin,), ("0",)),
    "total": Op(
        lambda a: np.asarray(a.sum()),
        (_sum,),
        (lambda g, y, a: g,),
        ("",),
    ),
}
