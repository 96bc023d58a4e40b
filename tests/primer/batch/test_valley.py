"""The valley against a search, and the fit against what it was made of."""

from hypothesis import given
from hypothesis import strategies as st

from primer.batch import valley
from tests.drawn import examples

SOME = st.floats(0.01, 100)


@examples(25)
@given(SOME, SOME, SOME, SOME)
def test_no_other_batch_needs_less_time(least, noise, fixed, each):
    b = valley.best(noise, fixed, each)
    time = lambda batch: valley.seconds(batch, least, noise, fixed, each)  # noqa: E731
    # (its slope there is zero: rounding moves it by less than its own last digits)
    assert all(time(b) <= time(b * by) * (1 + 2.0**-48) for by in (0.5, 0.9, 0.999, 1.001, 1.1, 2))
    assert time(b * 1.5) > time(b) < time(b / 1.5)


def test_the_time_at_the_best_batch_is_a_square():
    """It is least (sqrt(a) + sqrt(N b))^2."""
    b = valley.best(16, 4, 0.25)
    assert b == 16
    assert valley.seconds(b, 3, 16, 4, 0.25) == 3 * (2 + 2) ** 2


def test_at_the_noise_scale_a_batch_needs_twice_the_steps_and_half_the_rate():
    assert valley.steps(40, 60, 40) == 120
    assert valley.rate(40, 1.0, 40) == 0.5


def test_least_steps_and_noise_are_found_again():
    batches = [1, 4, 16, 64, 256]
    least, noise = valley.fitted(batches, [valley.steps(b, 60, 40) for b in batches])
    # the solver's rounding, of a matrix with a condition below 1e4
    assert abs(least / 60 - 1) + abs(noise / 40 - 1) < 1e4 * 2.0**-52
