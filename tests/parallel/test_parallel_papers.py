"""Published figures of the parallel studies are of their records, which keep their word."""

import pytest

from harness.result.pages import recorded
from parallel import pages
from parallel import plot_parallel_experiments as plot


@pytest.mark.parametrize("plan", ["gossip_mnist", "gossip_cifar10", "ist", "workers"])
def test_committed_figures_are_of_the_committed_records(plan, committed):
    whole = pages.record(plan)
    assert len({run.seed for run in whole.done()}) >= 3
    assert all(
        run.rows[-1]["bytes_planned"] == run.rows[-1]["bytes_payload"] for run in whole.done()
    )
    for kept in committed("parallel", plan, plot.figures(whole)):
        assert whole.plan != "gossip_cifar10" or "holdout" in kept["note"]


@pytest.mark.parametrize(("plan", "runs"), [("staleness", 3120), ("staleness_residual", 2340)])
def test_figures_of_staleness_are_of_the_record_which_is_complete(plan, runs, committed):
    whole = pages.record(plan)
    assert len(whole.done()) == runs
    committed("parallel", plan, plot.figures(whole))


@pytest.mark.parametrize("plan", ["staleness_fashion", *plot.NETS])
def test_figures_of_a_plan_that_has_been_run_are_of_its_record(plan, committed):
    whole = recorded("parallel", plan)
    if whole is None:
        pytest.skip(f"{plan} has no record yet")
    committed("parallel", plan, plot.figures(whole))


def test_the_figures_that_were_to_be_reached():
    """What the record says of them; a figure that is not reached is said to be so on the page."""
    found = pages.costs()
    share = found["subnets"][0]
    assert share["bytes_share"] <= 0.25
    assert share["macs_share"] <= 0.20
    for line in found["payload"]:
        assert abs(line["payload_over_theory"] - 1) <= 0.01


def test_distances_are_shown_by_decades_with_a_place_for_zero():
    """On a linear axis gossip of two workers (0.01) would lie on all-reduce (0)."""
    drawn = {name: fig for name, fig, _ in plot.figures(pages.record("workers"))}
    accuracy, distance = drawn["parallel_numbers"].axes
    assert accuracy.get_yscale() == "linear"
    assert distance.get_yscale() == "symlog"
    assert [text.get_text() for text in distance.get_yticklabels()] == [
        "0", "0.001", "0.01", "0.1", "1", "10",
    ]  # fmt: skip
    assert distance.get_ylim()[1] == pytest.approx(10)
