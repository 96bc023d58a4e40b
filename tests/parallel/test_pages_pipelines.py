"""What parallel/README.md says in words of the plans of staleness is what their records show."""

import pytest

from parallel import pages_pipelines, pages_staleness
from parallel.pages_staleness import (
    RESIDUAL,
    STASH,
    V1,
    V2,
    best,
    found,
    groups,
    held,
    minus,
    predicted,
    told,
)
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
RESIDUAL_BETTER = [
    (V1, STASH, 4, 0.05),
    *((V1, STASH, 8, rate) for rate in RATES if rate <= 0.02),
    (V1, STASH, 16, 0.002),
    ("sgd", V1, 16, 0.002),
    (STASH, V1, 16, 0.01),
    ("sgd", "two_bw", 16, 0.005),
]
RESIDUAL_NOT_SHOWN = [
    *((name, STASH, 4, rate) for name in PREDICTED for rate in RATES if rate <= 0.02),
    (V1, "sgd", 8, 0.01),
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


@pytest.mark.parametrize("words", RESIDUAL_BETTER, ids=str)
def test_what_is_called_better_of_residual_nets_has_an_interval_above_zero(words):
    low = minus(*words, of=RESIDUAL).low
    assert low is not None
    assert low > 0


@pytest.mark.parametrize("words", RESIDUAL_NOT_SHOWN, ids=str)
def test_what_is_not_shown_of_residual_nets_has_an_interval_with_zero(words):
    assert not minus(*words, of=RESIDUAL).excludes_zero


def test_who_holds_where_of_residual_nets_is_as_the_page_says():
    plan, net = RESIDUAL
    at = {
        n: {name: holds(found(plan), net, name, n) for name in methods(found(plan))}
        for n in DEPTHS[1:]
    }
    assert {name for name in at[4] if at[4][name] == max(RATES)} == {"sgd", "two_bw", V1}
    assert {n: r for n, r in at[8].items() if r} == {"sgd": 0.05, "two_bw": 0.02, V1: 0.01}
    assert [name for name in at[16] if at[16][name]] == ["sgd"]


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
    assert len(list(held())) == len(list(best())) == 1 + len(methods(found()))
    assert len(list(predicted())) == 1 + len(DEPTHS) * len(PREDICTED)
    assert len(list(told())) == 1 + len(groups())


def test_a_difference_of_what_was_not_run_is_not_made_up():
    with pytest.raises(AssertionError, match="no seed has both"):
        minus(V1, STASH, 3, 0.02)


def test_the_clock_has_a_column_for_costs_taken_alone_where_the_record_has_them(monkeypatch):
    old = pages_pipelines.costs()
    head, *_ = pages_pipelines.two_processes()
    lines = [{**line, "clock_alone_ms": 12.34} for line in old["processes"]]
    monkeypatch.setattr(pages_pipelines, "costs", lambda: {"processes": lines})
    new, first, *_ = pages_pipelines.two_processes()
    assert set(new) == {*head, "by the clock, alone"}
    assert first[new.index("by the clock, alone")] == "12.3"
    assert "in the two processes themselves" in pages_pipelines.clock()


def test_a_plan_of_staleness_without_a_record_is_left_out(monkeypatch):
    monkeypatch.setattr(pages_staleness, "found", lambda plan="staleness": {})
    assert groups() == []
    assert list(held()) == [("largest rate that holds",)]
    assert pages_staleness.fashion() == "it has not been run yet"
