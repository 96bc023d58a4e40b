"""The picture of int8: a point for each way, compared with float32 seed by seed."""

import pytest

from compress.plot_compress_experiments import drawers, table
from compress.plots import int8
from harness.experiment import Experiment, Run


def whole(seeds: int = 2) -> Experiment:
    runs = []
    for seed in range(seeds):
        ways = [
            {"way": "bf16", "test_accuracy": 0.9 + seed / 50, "bytes": 200, "ratio": 0.5},
            {"way": "onnx_static", "test_accuracy": 0.89 + seed / 100, "bytes": 100, "ratio": 0.25},
        ]
        rows = [
            {"epoch": 1, "test_accuracy": 0.5, "ways": []},
            {"epoch": 2, "test_accuracy": 0.9 + seed / 50, "ways": ways},
        ]
        facts = {"split": "official"}
        runs.append(Run("MLP", seed, "MLP", {"data": "mnist"}, rows, facts=facts))
    return Experiment("compress", "int8", "?", runs)


def test_ways_are_compared_with_float32_seed_by_seed():
    same, less = int8.ways(whole(), "MLP")
    assert same.gain.mean == 0
    assert less.gain.mean == pytest.approx(-0.015)
    assert (less.bytes, less.ratio) == (100, 0.25)


def test_each_way_is_a_point():
    ((name, fig, data),) = list(drawers(whole())["fig_compress_experiments_int8"]())
    assert name == "fig_compress_experiments_int8"
    assert data["series"]["MLP"]["onnx_static"]["x"] == [0.25]
    assert data["series"]["MLP"]["onnx_static"]["mean"] == [pytest.approx(-1.5)]
    assert len(fig.axes) == 1


def test_the_table_has_every_way():
    lines = list(table(whole()))
    assert "mnist (official), " in lines[0]
    assert any("int8, onnxruntime" in line and "-1.50" in line for line in lines)


def test_nothing_is_drawn_of_runs_that_are_not_done():
    empty = Experiment("compress", "int8", "?", [])
    assert list(drawers(empty)["fig_compress_experiments_int8"]()) == []
