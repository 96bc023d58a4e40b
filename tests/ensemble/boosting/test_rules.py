"""The arithmetic of boosting, number by number."""

import math

import numpy as np
import pytest

from ensemble.boosting.rules import chance, effective, error, floored, iddl, repeats, samme, say

W = np.array([0.4, 0.3, 0.2, 0.1])
WRONG = np.array([False, True, False, False])


def test_what_a_member_says_is_the_odds_of_being_right_and_a_part_for_the_classes():
    assert say(0.3, 2) == pytest.approx(math.log(7 / 3), rel=1e-15)
    assert say(0.3, 10, 0.5) == pytest.approx(0.5 * math.log(7 / 3 * 9), rel=1e-15)
    assert say(chance(4), 4) == pytest.approx(0, abs=1e-15)


def test_samme_raises_the_wrong_ones_and_leaves_the_others():
    assert error(WRONG, W) == pytest.approx(0.3, rel=1e-15)
    moved = samme(W, WRONG, 0.3, classes=3)
    assert moved == pytest.approx([0.4, 0.3 * 7 / 3 * 2, 0.2, 0.1], rel=1e-14)


def test_after_samme_with_rate_1_the_wrong_ones_hold_the_share_of_guessing():
    moved = samme(W, WRONG, 0.3, classes=5)
    assert moved[WRONG].sum() / moved.sum() == pytest.approx(chance(5), rel=1e-14)


def test_the_published_rule_raises_the_right_ones():
    moved = iddl(W, WRONG, 0.3, classes=10)
    assert moved == pytest.approx(W * [21, 1, 21, 21], rel=1e-14)
    slow = iddl(W, WRONG, 0.3, classes=10, learning_rate=0.5)
    assert slow == pytest.approx(W * [21**0.5, 1, 21**0.5, 21**0.5], rel=1e-14)


def test_absent_samples_stay_absent_and_small_weights_are_lifted():
    found = floored(np.array([0.0, 1e-30, 1.0]), np.array([True, False, False]))
    assert found.tolist() == [0.0, 2.0**-52, 1.0]
    assert samme(np.array([0.0, 1.0]), np.array([True, True]), 0.1, 2)[0] == 0


def test_a_weight_beyond_all_numbers_is_infinite_without_a_warning_of_numpy():
    assert samme(W, WRONG, 0.3, 3, learning_rate=1e4)[1] == math.inf
    assert iddl(W, WRONG, 0.3, 3, learning_rate=1e4)[0] == math.inf


def test_equal_weights_are_all_samples_and_a_single_one_is_one():
    assert effective(np.full(8, 0.125)) == 1
    assert effective(np.array([1.0, 0, 0, 0])) == 0.25


def test_a_batch_is_stepped_on_twice_where_the_largest_weight_is_in_it():
    assert repeats(np.full(4, 0.25)).tolist() == [1, 1, 1, 1]
    assert repeats(np.array([0.1, 0.3, 0.29999, 0.3])).tolist() == [1, 2, 1, 2]
