"""Decentralized SGD: its matrices, and what many rounds of them make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.strategy import make
from parallel.world.ops import messages, traffic

NAMES = ["ring", "exponential"]


def matrix(strategy, step):
    """The mixing of a step, as numbers."""
    found = np.eye(strategy.workers)
    for i, row in strategy.mixing(strategy.plan(0, step).before).items():
        found[i] = 0
        for k, weight in row.items():
            found[i, k] += weight
    return found


def made(name, n, **options):
    strategy = make(name, **options)
    strategy.init(n)
    return strategy


@given(st.sampled_from(NAMES), st.integers(1, 17), st.integers(1, 4), st.integers(1, 40))
def test_rows_and_columns_add_up_to_one_and_bytes_are_those_of_theory(name, n, period, step):
    strategy = made(name, n, period=period)
    found = matrix(strategy, step)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    sent = sum(traffic(strategy.plan(0, k).before, n, 8.0) for k in range(1, step + 1))
    assert sent == pytest.approx(n * strategy.theory(8.0, step))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_k_rounds_of_the_exponential_graph_are_the_mean_of_two_to_the_k(k):
    n = 2**k
    strategy, product = made("exponential", n), np.eye(n)
    for step in range(1, k + 1):
        assert not np.allclose(product, 1 / n)
        product = matrix(strategy, step) @ product
    np.testing.assert_array_equal(product, np.full((n, n), 1 / n))


@pytest.mark.parametrize("n", [3, 5, 8, 16])
def test_the_gap_of_a_ring_is_that_of_its_formula(n):
    """The second eigenvalue of a circulant (1, 1, 1) / 3 is (1 + 2 cos(2 pi / n)) / 3."""
    found = np.sort(np.abs(np.linalg.eigvalsh(matrix(made("ring", n), 1))))
    assert found[-2] == pytest.approx((1 + 2 * np.cos(2 * np.pi / n)) / 3, abs=1e-12)


def test_two_workers_have_one_edge():
    assert messages(made("ring", 2).plan(0, 1).before) == [(0, 1), (1, 0)]
    assert np.array_equal(matrix(made("ring", 2), 1), matrix(made("exponential", 2), 1))
