"""Figures, table and pages of the ensemble study."""

import pytest

from ensemble import plot_ensemble_experiments as plot
from ensemble.plans.boost import KINDS, NETS, PLANS
from ensemble.plans.paper import NET
from ensemble.plots.growth import NAMES, PANELS
from harness.experiment import Experiment, Run
from harness.plan import as_dict


@pytest.fixture
def whole():
    """A made-up record of two kinds, three seeds, two members."""
    plan = PLANS["smoke"]
    runs = []
    for arm in ("B-3-1-single", "B-3-1-samme-0.1"):
        for seed in range(3):
            rows = [_row(m, seed, arm) for m in (1, 2)]
            runs.append(Run(arm=arm, seed=seed, key=arm, config=as_dict(plan.arms[arm]), rows=rows,
                            facts={"split": "fixed stratified split"}, status="done"))  # fmt: skip
    return Experiment(folder="ensemble", plan="smoke", question=plan.question, runs=runs)


def _row(m, seed, arm):
    found = {"epoch": m, "test_accuracy": 0.8 + 0.05 * m + 0.01 * seed, "hard_accuracy": 0.8}
    found |= {"calibrated_nll": 0.5 / m + 0.01 * seed}
    if "samme" in arm:
        found |= {"vote_accuracy": 0.85, "weighted_error": 0.1 * m, "effective": 1 / m}
    return found


def test_pictures_show_what_was_run(whole):
    found = {name: (fig, data) for name, fig, data in plot.figures(whole)}
    assert set(found) == {"ensemble_growth", "ensemble_boosting"}
    fig, data = found["ensemble_growth"]
    assert set(data["series"]["B-3-1, test_accuracy"]) == {"single", "samme-0.1"}
    words = {t.get_text() for legend in fig.legends for t in legend.get_texts()}
    assert words == {"one net, trained as long", "SAMME, rate .1"}
    assert set(found["ensemble_boosting"][1]["series"]["B-3-1, effective"]) == {"samme-0.1"}


def test_the_table_has_a_line_for_each_arm_and_the_gain_over_one_net(whole):
    lines = list(plot.table(whole))
    assert [line.split()[0] for line in lines[2:]] == ["B-3-1-single", "B-3-1-samme-0.1"]
    assert lines[-1].endswith("0.00 points (n=3, no spread)")


def test_every_kind_and_net_of_the_plans_has_a_name():
    assert set(NAMES) == set(KINDS)
    assert set(NETS) | {NET} < set(PANELS)
