"""Flops and bytes of the three levels, counted; and the roof."""

import numpy as np
import pytest

from primer.memory import levels
from tests.primer.scalars import plain, products, scalars


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_formulas_are_what_is_counted(level, dtype):
    for n in (1, 3, 8):
        item = np.dtype(dtype).itemsize
        assert levels.counted(level, n, dtype) == (
            levels.flops(level, n),
            levels.moved(level, n, item),
        )


def test_what_is_computed_is_the_operation():
    a, b = levels.operands(1, 4, np.float64)
    assert levels.compute(1, a, b).tolist() == (2 * a + b).tolist()
    for level in (2, 3):
        a, b = levels.operands(level, 3, np.float64)
        # sums of three products below 1, in any order
        assert abs(levels.compute(level, a, b) - np.einsum("ij,jk", a, b)).max() < 18 * 2.0**-53


def test_the_loops_are_the_product_and_make_its_flops():
    a, b = levels.operands(3, 4, np.float64)
    found, made = products(lambda: levels.loops(scalars(a).tolist(), scalars(b).tolist()))
    assert 2 * made == levels.flops(3, 4)
    assert abs(plain(np.array(found)) - a @ b).max() < 32 * 2.0**-53


def test_the_roof_has_a_ridge_where_both_bounds_are_one():
    assert levels.attainable(4.0, peak=100.0, bandwidth=25.0) == 100
    assert levels.attainable(1.0, peak=100.0, bandwidth=25.0) == 25
    assert levels.attainable(40.0, peak=100.0, bandwidth=25.0) == 100
