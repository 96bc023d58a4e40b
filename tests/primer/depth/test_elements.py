"""Every number for itself: work and depth as counted, gradients as PyTorch has them."""

from itertools import pairwise

import numpy as np
import pytest

from primer.depth import elements
from primer.depth.elements import Scalar
from tests.primer.whole import by_torch, drawn


@pytest.mark.parametrize(
    ("widths", "batch"), [((3, 2), 1), ((1, 1, 1), 1), ((4, 8, 3), 2), ((5, 6, 7, 2), 3)]
)
def test_work_and_depth_are_those_of_the_numbers(widths, batch):
    weights, x, target = drawn(widths, batch)
    made, products = Scalar.made, Scalar.products
    numbers = [elements.scalars(w) for w in weights]
    found = elements.gradients(numbers, elements.scalars(x), elements.scalars(target))
    assert Scalar.made - made == elements.made(widths, batch)
    forward = sum(a * b for a, b in pairwise(widths))
    assert Scalar.products - products == batch * (3 * forward - widths[0] * widths[1])
    assert max(s.depth for w in found for s in w.flat) == elements.depth(widths, batch)
    for mine, theirs in zip(found, by_torch(weights, x, target), strict=True):
        assert np.array_equal(np.vectorize(lambda s: s.value)(mine), theirs)


@pytest.mark.parametrize(("k", "levels"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (9, 4)])
def test_a_sum_is_as_deep_as_its_tree(k, levels):
    ones = elements.scalars(np.ones((1, k)))
    ((found,),) = elements.matmul(ones, ones.T)
    assert (found.value, found.depth) == (k, 1 + levels)
