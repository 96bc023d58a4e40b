"""The number of plain members that an ensemble is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.scores import equivalent

PLAIN = {1: 0.30, 2: 0.26, 4: 0.22}


@pytest.mark.parametrize(
    ("value", "members"),
    [(0.30, 1.0), (0.28, 1.5), (0.26, 2.0), (0.23, 3.5), (0.22, 4.0), (0.31, 0.0), (0.21, None)],
)
def test_between_two_numbers_it_is_interpolated(value, members):
    found = equivalent(value, PLAIN)
    assert found == (members if members is None else pytest.approx(members))


def test_the_first_crossing_counts_where_more_members_are_worse():
    assert equivalent(0.25, {1: 0.3, 2: 0.2, 3: 0.4, 4: 0.1}) == pytest.approx(1.5)


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=6))
def test_the_best_of_the_plain_ones_is_worth_no_more_than_it_has_members(values):
    plain = dict(enumerate(values, 1))
    best = min(values)
    found = equivalent(best, plain)
    assert found is not None
    assert found <= values.index(best) + 1
    assert equivalent(best - 0.001, plain) is None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (0.3, {}),
        (0.3, {0: 0.4}),
        (float("nan"), PLAIN),
        (float("inf"), PLAIN),
        (0.3, {1: float("nan")}),
    ],
)
def test_what_cannot_be_compared_is_refused(value, plain):
    with pytest.raises(ValueError, match="expected a finite NLL"):
        equivalent(value, plain)
