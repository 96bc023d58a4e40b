"""The first line of a report says what is known, and never more than the intervals."""

from dataclasses import replace

import pytest

from harness.experiment import Experiment
from harness.result.answer import answer
from tests.harness.result.test_figure import PLAN, Config, experiment

ARMS = {name: Config(k) for k, name in enumerate(("low", "high", "twin", "alone"))}


def whole():
    """Two arms that differ, one that is its neighbour's twin, and one with a single seed."""
    found = experiment()
    found.runs += [replace(run, arm="twin") for run in found.runs if run.arm == "high"]
    found.runs.append(replace(found.runs[0], arm="alone"))
    return found


def test_few_comparisons_are_told_one_by_one():
    said = answer(experiment(), PLAN)
    assert said.startswith("high is better than low: ")
    assert said.endswith(" points (n=4).")


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_many_are_counted_and_the_largest_is_named(better):
    metric = replace(PLAN.measure, better=better)
    pairs = (("high", "low"), ("twin", "low"), ("high", "twin"), ("alone", "low"))
    plan = replace(PLAN, arms=ARMS, compare=pairs, metric=metric)
    said = answer(whole(), plan)
    word = "better" if better == "higher" else "worse"
    assert said.startswith(
        f"Of 4 comparisons: the first {word} in 2, no interval in 2. The largest: "
    )
    assert said.count(" than low") == 1


def test_without_comparisons_the_ends_of_the_table_are_named():
    said = answer(experiment(), replace(PLAN, compare=()))
    assert said.startswith("Of 2 models high: test accuracy 0.")
    assert " has the best mean, low: test accuracy 0." in said
    assert "(n=4)" in said
    one = replace(experiment(), runs=[run for run in experiment().runs if run.arm == "low"])
    assert answer(one, replace(PLAN, compare=())).startswith("low: test accuracy 0.")


def test_of_equal_means_none_is_the_best():
    low = [run for run in whole().runs if run.arm == "low"]
    both = Experiment("mlp", "smoke", runs=[*low, *(replace(run, arm="high") for run in low)])
    said = answer(both, replace(PLAN, compare=()))
    assert said.startswith("The means of all 2 models are equal. ")
    assert "best" not in said


def test_nothing_is_said_of_nothing():
    assert answer(Experiment("mlp", "smoke"), PLAN) == ""
