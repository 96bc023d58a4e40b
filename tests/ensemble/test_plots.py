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


def test_intervals_of_two_seeds_end_where_values_must(whole):
    whole.runs = [run for run in whole.runs if run.seed < 2]
    for run in whole.runs:
        run.rows = [r | {"test_accuracy": 0.5 + 0.4 * run.seed, "calibrated_nll": 0.1 + run.seed}
                    for r in run.rows]  # fmt: skip
    fig, data = {n: (f, d) for n, f, d in plot.figures(whole)}["ensemble_growth"]
    accuracy, nll = fig.axes
    assert data["series"]["B-3-1, test_accuracy"]["single"]["high"][0] > 2  # (as computed)
    # (matplotlib leaves a twentieth of what is drawn at either end)
    assert accuracy.get_ylim() == pytest.approx((-0.05, 1.05))
    assert nll.get_ylim()[0] < 0 < nll.dataLim.y0 + 1e-9
    assert nll.dataLim.y1 > 1


def test_a_figure_without_intervals_claims_none(whole):
    for run in whole.runs:
        run.rows = [r | {"mean_accuracy": 0.7 + 0.01 * run.seed, "disagreement": 0.3}
                    for r in run.rows]  # fmt: skip
    found = {name: fig for name, fig, _ in plot.figures(whole)}
    assert "95 % intervals" in found["ensemble_growth"].get_suptitle().replace("\n", " ")
    said = found["ensemble_diversity"].get_suptitle().replace("\n", " ")
    assert "interval" not in said
    assert "each point a mean of 3 seeds" in said
