"""Published figures of the ResNet study are of its committed records."""

import pytest

from resnet import pages
from resnet import plot_resnet_experiments as plot


@pytest.mark.parametrize("plan", ["cpu", "factors", "exits", "groups"])
def test_committed_figures_are_of_the_committed_records(plan, committed):
    whole = pages.record(plan)
    assert len({run.seed for run in whole.done()}) >= 3
    kept = committed("resnet", plan, plot.figures(whole))
    assert all("holdout" in data["note"] for data in kept)
