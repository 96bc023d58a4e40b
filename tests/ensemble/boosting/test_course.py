"""The course of boosting: how it goes on, and each way in which it ends."""

import numpy as np
import pytest

from ensemble.boosting.course import Course
from ensemble.boosting.start import started

N = 12
ONES = np.ones(N)


def wrong(count):
    return np.arange(N) < count


def test_it_ends_when_all_members_are_there():
    course = Course(ONES, 3, members=2)
    for count in (3, 2):
        assert not course.ended
        course.begin()
        assert course.end(wrong(count))
    assert course.ended == "all 2 members are there"
    assert len(course.alphas) == len(course.errors) == len(course.effective) == 2
    assert course.effective[0] == 1 > course.effective[1]


def test_a_perfect_member_ends_it_with_a_say_of_1():
    course = Course(ONES, 3, members=5)
    course.begin()
    assert course.end(wrong(0))
    assert (course.alphas, course.errors) == ([1.0], [0.0])
    assert course.ended == "member 0 made no error"


def test_a_member_at_chance_is_dropped():
    course = Course(ONES, 3, members=5)
    course.begin()
    course.end(wrong(3))
    course.begin()
    assert not course.end(wrong(N))
    assert len(course.alphas) == 1
    assert course.ended.startswith("member 1 is no better than chance, and was dropped")


def test_a_first_member_at_chance_is_an_error_in_words():
    course = Course(ONES, 3, members=5)
    course.begin()
    with pytest.raises(ValueError, match=r"first member is no better than chance: .* of 0\.75"):
        course.end(wrong(9))


def test_infinite_weights_end_it_with_a_warning_that_says_what_to_lower():
    course = Course(ONES, 3, members=5, learning_rate=1e4)
    course.begin()
    with pytest.warns(UserWarning, match="inf in sum: boosting ends; lower learning_rate"):
        assert course.end(wrong(3))
    assert "inf in sum" in course.ended


def test_after_the_last_member_weights_stay():
    course = Course(ONES, 3, members=1)
    before = course.begin().copy()
    course.end(wrong(3))
    assert np.array_equal(course.weights, before)


def test_a_saved_course_goes_on_bit_for_bit():
    a = Course(np.arange(N), 3, members=4)
    for count in (3, 4):
        a.begin()
        a.end(wrong(count))
    b = Course(ONES, 3, members=4)
    b.load_state_dict(a.state_dict())
    for course in (a, b):
        course.begin()
        course.end(wrong(5))
    assert np.array_equal(a.weights, b.weights)
    assert (a.alphas, a.errors, a.effective) == (b.alphas, b.errors, b.effective)
    assert a.begin()[0] == b.begin()[0] == 0


def test_a_state_of_another_size_is_refused_with_both_numbers():
    state = Course(ONES, 3, members=4).state_dict()
    with pytest.raises(ValueError, match="state of 4 members, and here are 5"):
        Course(ONES, 3, members=5).load_state_dict(state)
    with pytest.raises(ValueError, match="on 12 samples; here are 3"):
        Course(ONES[:3], 3, members=4).load_state_dict(state)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, -1.0], "not negative, got -1.0 of sample 1"),
        ([1.0, np.nan], "finite and not negative, got nan of sample 1"),
        ([np.inf, 1.0], "got inf of sample 0"),
        ([0.0, 0.0], "all sample weights are 0"),
        ([[1.0]], r"a row of numbers, got shape \(1, 1\)"),
        ([], r"a row of numbers, got shape \(0,\)"),
    ],
)
def test_weights_that_are_none_are_refused(weights, said):
    with pytest.raises(ValueError, match=said):
        started(weights)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": 1}, "nothing to tell apart in 1 class"),
        ({"members": 0}, "whole number of at least 1, got 0"),
        ({"members": 1.5}, "members must be a whole number of at least 1, got 1.5"),
        ({"learning_rate": 0}, "learning_rate is a number above 0, got 0"),
        ({"learning_rate": np.nan}, "learning_rate is a number above 0, got nan"),
        ({"rule": "SAMME.R"}, "unknown rule 'SAMME.R': did you mean 'samme'"),
    ],
)
def test_arguments_that_are_none_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Course(ONES, **{"classes": 3, "members": 4, **arguments})
