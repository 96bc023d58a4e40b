"""What parallel/README.md says in words of plan staleness is what its record shows."""

import pytest

from parallel.pages_pipelines import STASH, V1, V2, found, held, minus, predicted
from parallel.plans.staleness import DEPTHS, PREDICTED, RATES
from parallel.plots.rates import holds, methods

BETTER = [
    (V1, STASH, 4, 0.02),
    (V2, STASH, 4, 0.02),
    (V1, STASH, 4, 0.005),
    (V1, STASH, 8, 0.002),
    (V2, STASH, 8, 0.002),
    (V1, STASH, 8, 0.005),
    (V2, STASH, 8, 0.005),
    ("vanilla", STASH, 8, 0.005),
    ("two_bw", V1, 8, 0.005),
    ("sgd", V1, 8, 0.002),
    ("sgd", "two_bw", 16, 0.002),
    (V2, "lwp", 8, 0.02),
]
NOT_SHOWN = [(V1, "sgd", 4, 0.02), (V2, "sgd", 4, 0.02), ("two_bw", "sgd", 8, 0.005)]


@pytest.mark.parametrize("words", BETTER, ids=str)
def test_what_is_called_better_has_an_interval_above_zero(words):
    low = minus(*words).low
    assert low is not None
    assert low > 0


@pytest.mark.parametrize("words", NOT_SHOWN, ids=str)
def test_what_is_called_no_difference_shown_has_an_interval_with_zero(words):
    assert not minus(*words).excludes_zero


def test_who_holds_where_is_as_the_page_says():
    names = set(methods(found())) - {"sgd"}
    at = {n: {name for name in names if holds(found(), "mlp", name, n)} for n in DEPTHS}
    assert all(holds(found(), "mlp", name, 2) == max(RATES) for name in names)
    assert {holds(found(), "mlp", name, 4) for name in PREDICTED} == {0.02}
    assert STASH not in at[4]
    assert at[8] == {"two_bw"}
    assert at[16] == set()


def test_at_four_stages_and_small_rates_one_of_eight_differences_is_shown():
    small = [rate for rate in RATES if rate <= 0.01]
    pairs = [(name, rate) for name in PREDICTED for rate in small]
    shown = [pair for pair in pairs if minus(pair[0], STASH, 4, pair[1]).excludes_zero]
    assert (len(pairs), shown) == (8, [(V1, 0.005)])


def test_of_two_that_are_one_by_identity_one_difference_in_24_is_shown():
    pairs = [(n, rate) for n in DEPTHS for rate in RATES]
    shown = [pair for pair in pairs if minus(V2, "lwp", *pair).excludes_zero]
    assert (len(pairs), shown) == (24, [(8, 0.02)])


def test_prediction_makes_no_more_at_two_stages_than_at_the_rate_that_is_named():
    means = {rate: minus(V1, STASH, 2, rate).mean for rate in RATES}
    assert max(means, key=lambda rate: means[rate]) == 0.02


def test_every_method_and_every_number_of_stages_has_its_line():
    assert len(list(held())) == 1 + len(methods(found()))
    assert len(list(predicted())) == 1 + len(DEPTHS) * len(PREDICTED)


def test_a_difference_of_what_was_not_run_is_not_made_up():
    with pytest.raises(AssertionError, match="no seed has both"):
        minus(V1, STASH, 3, 0.02)
