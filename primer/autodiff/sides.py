"""The Jacobian of a net, by four ways, and what each of them costs.

    J = D3 W3 D2 W2 D1 W1                       D = diag(1 - y^2), for y = tanh(W x)

    columns   n times: a dual number runs through, along one axis of the input
    right     a dual number with all n axes at once: the product from the right
    rows      one tape, read back m times, from one output each
    left      one tape, read back once from all m: the product from the left

Sizes s = (n, ..., m) of the layers; F = sum of s[i] s[i+1], A = sum of s[1:]. Forward: F + A.
"""

from collections.abc import Callable, Sequence
from functools import wraps

import numpy as np

from primer.autodiff.dual import jvp
from primer.count import counting
from primer.tape import vjp

ITEM = np.dtype(float).itemsize


def weights(sizes: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Draw the matrices of a net with these sizes of layers."""
    draw = np.random.default_rng(seed)
    pairs = zip(sizes[1:], sizes[:-1], strict=True)
    return [draw.standard_normal(pair) / pair[1] ** 0.5 for pair in pairs]


def net(matrices: Sequence, x):
    """Run a column through layers of tanh(W x); of arrays, tensors or dual numbers."""
    for w in matrices:
        x = w @ x
        x = x.tanh() if hasattr(x, "tanh") else np.tanh(x)
    return x


def of_columns(way: Callable) -> Callable:
    """Return a way that refuses an x, or an f(x), that is no column."""

    @wraps(way)
    def checked(f: Callable, x: np.ndarray) -> np.ndarray:
        return way(lambda a: column(f(a), "f(x)"), column(x, "x"))

    return checked


def column(a, name: str):
    """Return an array, tensor or dual number as it is.

    Raises:
        ValueError: it is no column.
    """
    shape = np.shape(getattr(a, "value", a))
    if len(shape) != 2 or shape[1] != 1:
        raise ValueError(
            f"the Jacobian is of one column (n, 1) by another, and {name} has shape {shape}: "
            "give x.reshape(-1, 1), and a function that returns a column"
        )
    return a


@of_columns
def by_columns(f: Callable, x: np.ndarray) -> np.ndarray:
    """Return the Jacobian of f at column x, a pass of dual numbers for each column."""
    return np.hstack([jvp(f, x, axis)[1] for axis in np.eye(len(x))[:, :, None]])


@of_columns
def from_right(f: Callable, x: np.ndarray) -> np.ndarray:
    """Return the Jacobian by one pass that carries all columns."""
    return jvp(f, x, np.eye(len(x)))[1]


@of_columns
def by_rows(f: Callable, x: np.ndarray) -> np.ndarray:
    """Return the Jacobian by one tape, read back for each row."""
    y, pull = vjp(f, x)
    return np.hstack([pull(axis)[0] for axis in np.eye(len(y))[:, :, None]]).T


@of_columns
def from_left(f: Callable, x: np.ndarray) -> np.ndarray:
    """Return the Jacobian by one tape that is read back once, for all rows."""
    y, pull = vjp(f, x)
    return pull(np.eye(len(y)))[0].T


WAYS = {"columns": by_columns, "right": from_right, "rows": by_rows, "left": from_left}


def macs(way: str, sizes: Sequence[int]) -> int:
    """Return the multiply-adds of a way: F and A as above, each tangent F + A, y^2 once a pass."""
    n, m = sizes[0], sizes[-1]
    f = sum(a * b for a, b in zip(sizes[1:], sizes[:-1], strict=True))
    a = sum(sizes[1:])
    return {
        "columns": n * (2 * f + 3 * a),
        "right": (n + 1) * f + (n + 2) * a,
        "rows": f + a + m * (f + 2 * a),
        "left": (m + 1) * f + (m + 2) * a,
    }[way]


def held(way: str, sizes: Sequence[int]) -> int:
    """Return the most bytes alive between two operations, without weights, x and J.

    Forward: a value and its tangents. Reverse: all results, and the gradients on their way.
    """
    n, m, widest = sizes[0], sizes[-1], max(sizes[1:])
    return (
        ITEM
        * {
            "columns": 2 * widest,
            "right": (1 + n) * widest,
            "rows": sum(sizes[1:]) + widest,
            "left": sum(sizes[1:]) + m * widest,
        }[way]
    )


def crossing(one: str, other: str, sizes: Callable[[float], Sequence[float]]) -> float:
    """Return the ratio n / m where two ways cost as many multiply-adds, by bisection."""
    low, high = 2.0**-12, 2.0**12
    first = macs(one, sizes(low)) < macs(other, sizes(low))  # pyright: ignore
    for _ in range(200):
        middle = (low * high) ** 0.5
        same = (macs(one, sizes(middle)) < macs(other, sizes(middle))) == first  # pyright: ignore
        low, high = (middle, high) if same else (low, middle)
    return low


def forwards(f: Callable, *given: np.ndarray) -> float:
    """Return what a scalar and its whole gradient cost, in units of the scalar alone; counted."""
    with counting() as there:
        y, pull = vjp(f, *given)
    with counting() as back:
        pull(np.ones_like(y))
    return (there.macs + back.macs) / there.macs
