"""How many independent members the ensembles of a record are worth."""

import pytest

from ensemble import pages
from ensemble import plot_ensemble_experiments as plot
from ensemble.plans.boost import PLANS
from ensemble.plots.worth import curve, told, worth
from harness.experiment import Experiment, Run
from harness.plan import as_dict

PLAIN = [0.50, 0.40, 0.30]  # calibrated NLL of 1, 2, 3 independent members, of the seed between


def record(**last):
    """A made-up record of three seeds, .01 apart: independent members and other kinds."""
    plan, runs = PLANS["smoke"], []
    for kind, values in {"independent": PLAIN, **last}.items():
        arm = f"B-3-1-{kind}"
        for seed in range(3):
            rows = [
                {"epoch": m, "calibrated_nll": v + 0.01 * (seed - 1), "test_accuracy": 0.9,
                 "hard_accuracy": 0.9}
                for m, v in enumerate(values, 1)
            ]  # fmt: skip
            facts = {"split": "fixed"}
            runs.append(Run(arm, seed, arm, as_dict(plan.arms[arm]), rows, facts, status="done"))
    return Experiment("ensemble", "boost", plan.question, runs)


def test_the_curve_is_the_mean_over_seeds():
    assert curve(record(), "B-3-1") == pytest.approx({1: 0.5, 2: 0.4, 3: 0.3})


def test_the_interval_is_that_of_the_likelihood_read_off_the_curve():
    found = worth(record(bagging=[0.35]), "B-3-1", "bagging")
    half = 4.302652729911275 * 0.01 / 3**0.5  # (t of two degrees of freedom)
    assert found.members == pytest.approx(2.5)
    assert (found.low, found.high) == pytest.approx((2.5 - 10 * half, 2.5 + 10 * half))
    assert found.text == "2.5 (2.3 to 2.7)"


@pytest.mark.parametrize(
    ("nll", "text"),
    [
        (0.20, "none (above 3)"),
        (0.60, "none (below 1)"),
        (0.31, "2.9 (2.7 to above 3)"),
        (0.49, "1.1 (below 1 to 1.3)"),
    ],
)
def test_beyond_what_was_measured_there_is_no_number(nll, text):
    assert told(record(bagging=[nll]), "B-3-1", "bagging") == text


def test_without_independent_members_nothing_tells():
    whole = record(bagging=[0.4])
    whole.runs = [run for run in whole.runs if "independent" not in run.arm]
    assert told(whole, "B-3-1", "bagging") == "-"
    assert told(record(), "B-3-1", "bagging") == "-"


def test_page_and_table_tell_it(monkeypatch):
    whole = record(bagging=[0.35])
    for run in whole.runs:
        for row in run.rows:
            row["test_accuracy"] += 0.01 * run.seed
            row["hard_accuracy"] += 0.01 * run.seed
    monkeypatch.setattr(pages, "record", lambda plan: whole)
    head, *body = pages.TABLES["boost"]()
    assert head[-1] == "worth, independent members"
    assert {line[1]: line[-1] for line in body}["bagging"] == "2.5 (2.3 to 2.7)"
    assert any("2.5 (2.3 to 2.7)" in line for line in plot.table(whole))
