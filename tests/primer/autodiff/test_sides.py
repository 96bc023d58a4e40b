"""Four ways to one Jacobian, and their costs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from primer.autodiff import sides
from primer.count import counting
from tests.drawn import examples
from tests.primer.scalars import plain, products, scalars

SIZES = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)


def made(sizes):
    x = np.random.default_rng(7).standard_normal((sizes[0], 1))
    return sides.weights(sizes), x


@examples(20)
@given(SIZES)
def test_all_ways_are_torchs_jacobian_and_cost_what_the_formulas_say(sizes):
    matrices, x = made(sizes)
    given = torch.tensor(x)

    def there(x):
        return sides.net([torch.tensor(w) for w in matrices], x)

    right = torch.autograd.functional.jacobian(there, given).numpy().reshape(sizes[-1], sizes[0])
    for way, jacobian in sides.WAYS.items():
        with counting() as count:
            found = jacobian(lambda x: sides.net(matrices, x), x)
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-12)
        assert (count.macs, count.most) == (sides.macs(way, sizes), sides.held(way, sizes))


@examples(10)
@given(SIZES)
def test_numbers_that_count_themselves_count_as_much(sizes):
    matrices, x = made(sizes)
    for way, jacobian in sides.WAYS.items():

        def f(x):
            return sides.net([scalars(w) for w in matrices], x)

        slow, made_ = products(lambda f=f, jacobian=jacobian: jacobian(f, scalars(x)))
        assert made_ == sides.macs(way, sizes)
        fast = jacobian(lambda x: sides.net(matrices, x), x)
        np.testing.assert_allclose(fast, plain(slow), rtol=0, atol=1e-12)


def test_a_crossing_is_where_neither_is_cheaper():
    def square(r):
        return (8 * r**0.5, 64, 8 / r**0.5)

    assert abs(sides.crossing("right", "left", square) - 1) < 1e-9
    at = square(sides.crossing("columns", "rows", square))
    # bisected to the last bit of n / m
    assert abs(sides.macs("columns", at) / sides.macs("rows", at) - 1) < 1e-12


def test_the_gradient_of_a_net_costs_three_evaluations():
    matrices, x = made((5, 4, 3, 1))
    assert sides.forwards(lambda x, *ws: sides.net(ws, x).total(), x, *matrices) == 3


@pytest.mark.parametrize("way", sides.WAYS)
def test_what_is_no_column_is_refused_by_every_way(way):
    jacobian, x = sides.WAYS[way], np.ones((2, 1))
    for wrong in (np.ones(2), np.ones((2, 2)), np.float64(1)):
        with pytest.raises(ValueError, match=r"\(n, 1\) by another, and x has shape"):
            jacobian(lambda x: x.tanh(), wrong)
    with pytest.raises(ValueError, match=r"f\(x\) has shape \(\): give x\.reshape"):
        jacobian(lambda x: x.total(), x)


@pytest.mark.parametrize("way", ["columns", "right"])
def test_a_sum_of_all_entries_carries_each_tangent_by_itself(way):
    """Of x s, for s the sum of x: s on the diagonal, and x beside it."""
    x = np.array([[1.0], [2.0], [4.0]])
    found = sides.WAYS[way](lambda x: x * x.total(), x)
    assert found.tolist() == (7 * np.eye(3) + x).tolist()
