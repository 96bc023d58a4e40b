"""Benchmarks of what ranks hold under ZeRO, and their records."""

import json
import sys

import pytest

from benchmarks import zero_plot, zero_room
from parallel.world.traffic import COUNTERS
from tests.tree import ROOT


def test_halving_finds_the_largest_that_is_good():
    asked = []
    for limit in range(3, 21):
        assert zero_room.widest(2, 20, lambda w, limit=limit: asked.append(w) or w <= limit) == (
            min(limit, 20)
        )
    assert zero_room.widest(2, 20, lambda w: False) == 2
    assert len(asked) <= 18 * 5


def test_the_size_is_that_of_the_net():
    assert sum(p.numel() for p in zero_room.made(24).parameters()) == zero_room.size(24)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_net_fits_or_does_not(monkeypatch):
    """By the formula zero3 of two has room for 8 bytes a weight: half of that is too little."""
    for key, value in zero_room.MALLOC.items():
        monkeypatch.setenv(key, value)
    room = 16 * zero_room.size(256)
    assert zero_room.fits("zero3", 2, room, 256)
    assert not zero_room.fits("zero3", 2, room // 4, 256)


def test_no_net_of_the_record_is_larger_than_the_formula_allows():
    record = json.loads((ROOT / "benchmarks/zero_room.json").read_text())
    assert {(line["strategy"], line["ranks"]) for line in record["lines"]} == {
        (name, n) for name in zero_room.STRATEGIES for n in zero_room.RANKS
    }
    for name, line in zero_plot.series(record).items():
        for measured, formula in zip(line["measured"], line["formula"], strict=True):
            assert 0.3 * formula < measured <= formula, name


def test_the_committed_figure_is_of_the_record():
    record = json.loads((ROOT / "benchmarks/zero_room.json").read_text())
    fig, data = zero_plot.picture(record)
    committed = ROOT / "figure/parallel/zero/room.json"
    assert json.loads(committed.read_text()) == json.loads(json.dumps(data))
    assert len(fig.axes[0].lines) == 2 * len(zero_room.STRATEGIES)


@pytest.mark.slow
@pytest.mark.skipif(not COUNTERS.exists(), reason="reads /proc/net")
def test_ours_holds_what_the_formula_says():
    from benchmarks import zero_torch

    found = zero_torch.line(zero_torch.ours, "zero3", 3, 2)
    assert found["held"] == found["formula"]
    (record,) = [
        line
        for line in json.loads((ROOT / "benchmarks/zero_torch.json").read_text())["lines"]
        if (line["name"], line["ranks"]) == ("zero3", 2)
    ]
    assert record["held"] == found["held"]
