"""What is counted, against numbers that count themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primer import count
from tests.drawn import examples
from tests.primer.scalars import plain, products, scalars

SIDES = st.integers(1, 4)


@examples(20)
@given(SIDES, SIDES, SIDES)
def test_a_product_counts_as_its_numbers_do(a, b, c):
    draw = np.random.default_rng(a + 4 * b + 16 * c)
    left, right = draw.random((a, b)), draw.random((b, c))
    for f, x, y in (
        (count.matmul, left, right),
        (count.times, left, left),
        (count.plus, left, left),
    ):
        with count.counting() as found:
            fast = f(x, y)
        slow, made = products(lambda f=f, x=x, y=y: f(scalars(x), scalars(y)))
        assert found.macs == made
        # (sums of b products, in any order: each side is off by b roundings of them at most)
        np.testing.assert_allclose(fast, plain(slow), rtol=2 * b * 2.0**-53)


def test_a_complex_product_is_four_real_ones():
    z = np.ones((2, 3)) * 1j
    with count.counting() as found:
        count.times(z, z)
        count.matmul(z, z.T)
    assert found.macs == 4 * (6 + 2 * 3 * 2)


def test_blocks_inside_of_blocks_count_for_both_and_outside_for_none():
    x = np.ones((2, 2))
    with count.counting() as outer:
        count.times(x, x)
        with count.counting() as inner:
            count.plus(x, x, -1)
            count.matmul(x, x)
    count.times(x, x)
    assert (outer.macs, outer.adds) == (12, 4)
    assert (inner.macs, inner.adds) == (8, 4)


def test_the_block_that_ends_is_the_one_that_counts_no_more():
    x = np.ones((2, 2))
    with count.counting() as outer:
        with count.counting() as inner:
            count.times(x, x)  # (so far both have counted the same)
        count.times(x, x)
    assert (outer.macs, inner.macs) == (8, 4)


def failing(x, y):
    count.alive(x, x)
    with count.holding(y):
        count.alive(x)
        raise ZeroDivisionError


def test_what_is_alive_is_added_once_and_to_what_is_held():
    with count.counting() as found:
        with pytest.raises(ZeroDivisionError):
            failing(np.zeros(3), np.zeros(5))
        assert (found.most, found.held) == (64, 0)
        count.alive(np.zeros(9))
    assert found.most == 72
