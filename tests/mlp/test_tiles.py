"""Plan `tiles`: designs of blocks at equal connections, and what is said about them."""

import numpy as np
import pytest

from harness.experiment import Experiment
from harness.result import pages as page_tools
from mlp import pages
from mlp import plot_mlp_experiments as plot
from mlp.experiments import PLANS
from mlp.model import patterns
from mlp.plans.tiles import ARMS, TILES
from tests.parallel.records import run


@pytest.mark.parametrize("arm", ARMS)
def test_every_output_reads_as_many_inputs_and_every_input_is_read(arm):
    for seed in (0, 3):
        for p in patterns(ARMS[arm], 1024, seed):
            assert p.shape == (1024, 1024)
            assert (p.fan_in == 32).all()
            reads = np.bincount(p.indices, minlength=1024)
            assert reads.min() > 0
            assert abs(reads - 32).max() <= (0 if arm == "random" else 16)


@pytest.mark.parametrize("side", TILES)
def test_tiles_are_full_and_two_of_them_meet_at_most_once(side):
    (p, _) = patterns(ARMS[f"tile-{side}"], 1024, 1)
    grid = p.mask().reshape(1024 // side, side, 1024 // side, side).sum((1, 3))
    assert set(np.unique(grid)) == {0, side * side}
    table = (grid > 0).astype(np.float32)
    met = table.T @ table
    np.fill_diagonal(met, 0)
    assert met.max() == 1


def record(seeds):
    runs = [
        run(arm, config, seed, 0.8 + 0.01 * i + 0.001 * (i + 1) * seed)
        for i, (arm, config) in enumerate(ARMS.items())
        for seed in range(seeds)
    ]
    return Experiment("mlp", "tiles", "?", runs)


def test_the_page_says_what_has_not_run_and_then_each_side(monkeypatch):
    for whole in (None, record(1)):
        monkeypatch.setattr(page_tools, "recorded", lambda study, plan, whole=whole: whole)
        head, line = pages.tiles()
        assert line[0] == "not run yet"
        assert len(line) == len(head)
    monkeypatch.setattr(page_tools, "recorded", lambda study, plan: record(3))
    head, *lines = pages.tiles()
    assert [line[0] for line in lines] == ["1", "4", "16", "random"]
    assert all(len(line) == len(head) for line in lines)
    assert lines[1][2:] == ("0.8120 ± 0.0050", "+1.10 ± 0.25\\*", "-2.20 ± 0.50\\*")


def test_the_picture_has_a_point_for_each_side_and_a_level():
    ((name, fig, data),) = plot.figures(record(3))
    assert name == "mlp_experiments_tiles"
    assert data["line"]["tile"] == list(TILES)
    assert data["line"]["mean"] == pytest.approx([0.801, 0.812, 0.823])
    assert data["random"]["mean"] == pytest.approx([0.834])
    assert fig.axes[0].get_xlabel() == "side of a tile"
    assert PLANS["tiles"].question
