"""The rules: each push is the transpose of its pull, and both are the derivative."""

import numpy as np
import pytest

from primer.autodiff.dual import Dual, jvp
from primer.autodiff.ops import OPS
from primer.autodiff.overloaded import Overloaded
from primer.tape import vjp

A, B, T = np.random.default_rng(0).uniform(-1, 1, (3, 4, 4))
CASES = [(op, i) for op, rule in OPS.items() for i in range(len(rule.pulls))]


def function(op, i):
    """The operation as a function of its input i."""
    others = [A, B][: len(OPS[op].pulls)]
    return lambda x: x.apply(op, *(x if k == i else other for k, other in enumerate(others)))


@pytest.mark.parametrize(("op", "i"), CASES)
def test_a_pull_is_the_transpose_of_the_push(op, i):
    f, x = function(op, i), (A, B)[i]
    y, tangent = jvp(f, x, T)
    again, pull = vjp(f, x)
    assert np.array_equal(y, again)
    g = np.cos(np.arange(y.size)).reshape(y.shape)
    # <g, J t> = <J^T g, t>: sums of up to 4 * 4 * 4 products below 1 in two orders
    assert abs((g * tangent).sum() - (pull(g)[0] * T).sum()) < 4 * 64 * 2.0**-53 * 16


@pytest.mark.parametrize(("op", "i"), CASES)
def test_a_push_is_the_derivative(op, i):
    """Of the function on either side of x along t; the rest is of third order in a small step."""
    f, x, step = function(op, i), (A, B)[i], 1e-4

    def value(x):
        return f(Dual(x, T)).value

    slope = (value(x + step * T) - value(x - step * T)) / (2 * step)
    # third derivatives of these are below e^1, so the rest is below step^2 e / 6; then rounding
    assert abs(slope - jvp(f, x, T)[1]).max() < step**2 + 16 * 2.0**-53 / step


def test_every_operation_has_a_rule_for_each_input_and_a_door():
    for op, rule in OPS.items():
        assert len(rule.pushes) == len(rule.pulls) == len(rule.reads)
        assert hasattr(Overloaded, op if len(rule.pulls) == 1 else f"__{op}__")
