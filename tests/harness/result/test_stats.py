"""Intervals, paired differences, and the words that follow from them."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness.result import stats


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12))
def test_interval_is_scipys(values):
    got = stats.interval(values)
    if np.ptp(values) < 1e-9:
        assert got.half is None or got.half == pytest.approx(0, abs=1e-6)
        return
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=np.mean(values), scale=scipy.stats.sem(values)
    )
    assert got.low == pytest.approx(low, rel=1e-9, abs=1e-9)
    assert got.high == pytest.approx(high, rel=1e-9, abs=1e-9)


def test_coverage_of_the_interval():
    """About 95 of 100 intervals hold the truth: 1000 draws of five, within five deviations."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        i = stats.interval(rng.normal(2.0, 3.0, 5).tolist())
        hits += i.low <= 2.0 <= i.high
    assert abs(hits - 950) < 5 * math.sqrt(1000 * 0.95 * 0.05)


def test_paired_differences_use_common_seeds_and_words_follow_the_interval():
    noise = {s: 0.1 * math.sin(s) for s in range(8)}
    a = {s: 0.8 + noise[s] for s in range(8)}
    b = {s: 0.7 + noise[s] + 0.001 * (s % 2) for s in range(2, 10) if s in noise}
    d = stats.paired("A", "B", a, b)
    assert d.interval.n == 6
    assert d.verdict == "A is better than B"
    assert stats.paired("B", "A", b, a).verdict == "B is worse than A"
    same = stats.paired("A", "C", a, {s: a[s] + 0.01 * (-1) ** s for s in a})
    assert same.verdict == "no difference shown between A and C"
    assert "n = 1, no interval" in stats.paired("A", "B", {0: 1.0}, {0: 0.5}).verdict
    assert stats.paired("A", "B", {0: 1.0}, {1: 1.0}) is None


def test_intervals_as_words():
    assert stats.interval([1.0]).text() == "1.0000 (n=1, no interval)"
    assert stats.interval([0.9, 0.9]).text(100, 1) == "90.0 (n=2, no spread)"
    assert stats.interval([0.9] * 6).text(100, 1) == "90.0 ± 0.0 (n=6)"


@pytest.mark.parametrize("n", [2, 3, 5])
def test_equal_values_are_no_certainty(n):
    i = stats.interval([0.25] * n)
    assert (i.mean, i.low, i.high, i.n) == (0.25, None, None, n)
    assert not i.excludes_zero
    d = stats.paired("A", "B", dict.fromkeys(range(n), 0.75), dict.fromkeys(range(n), 0.5))
    assert d.verdict == f"A and B: no spread in {n} seeds, no interval"
    assert d.sentence == f"A minus B: 25.00 points (n={n}, no spread)"
    even = stats.paired("A", "B", dict.fromkeys(range(n), 0.5), dict.fromkeys(range(n), 0.5))
    assert even.sentence == f"A minus B: 0.00 points (n={n}, no spread)"


def test_six_equal_differences_are_what_a_sign_test_calls_a_difference():
    six = dict.fromkeys(range(6), 0.75), dict.fromkeys(range(6), 0.5)
    assert stats.paired("A", "B", *six).sentence == "A is better than B: 25.00 ± 0.00 points (n=6)"
    assert scipy.stats.binomtest(6, 6).pvalue < 0.05 < scipy.stats.binomtest(5, 5).pvalue
    assert stats.interval([0.25] * 6, level=0.99).low is None
    even = stats.paired("A", "B", six[0], six[0])
    assert even.verdict == "no difference shown between A and B"


@given(st.lists(st.integers(0, 900), min_size=2, max_size=5), st.integers(1, 99))
def test_differences_that_are_equal_but_for_rounding_have_no_spread(counts, more):
    """Accuracies are counts over the size of a test set; 0.9 - 0.5 is not 0.8 - 0.4 in floats."""
    a = {s: (n + more) / 999 for s, n in enumerate(counts)}
    b = {s: n / 999 for s, n in enumerate(counts)}
    assert stats.paired("A", "B", a, b).interval.half is None
    b[0] = (counts[0] + 1) / 999  # one sample is no rounding
    assert stats.paired("A", "B", a, b).interval.half > 1e-4


def test_a_difference_is_told_once_with_its_unit():
    more = stats.paired("A", "B", {0: 0.90, 1: 0.91}, {0: 0.50, 1: 0.49})
    assert more.sentence == "A is better than B: 41.00 ± 12.71 points (n=2)"
    one = stats.paired("A", "B", {0: 0.9}, {0: 0.5})
    assert one.sentence == "A minus B: 40.00 points (n=1, no interval)"


def test_values_without_their_seeds_are_not_paired():
    with pytest.raises(ValueError, match=r"values of B are a list; pairs are made by seed: \{seed"):
        stats.paired("A", "B", {0: 1.0}, [0.5])
