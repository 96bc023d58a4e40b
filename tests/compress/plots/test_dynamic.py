"""The picture of nets whose connections move: what is drawn are the record's numbers."""

import pytest

from compress.plot_compress_experiments import drawers, table
from compress.plots import dynamic
from harness.experiment import Experiment, Run

ACCURACY = {"dense": 0.98, "static-5": 0.96, "rigl-5": 0.97, "rigl-2": 0.95, "bibd": 0.94}
COUNT = {"dense": 1000, "static-5": 50, "rigl-5": 50, "rigl-2": 20, "bibd": 36}


@pytest.fixture
def whole():
    runs = [
        Run(arm, seed, arm, {"data": "mnist", "hidden": [300, 100], "epochs": 1},
            [{"epoch": 1, "test_accuracy": value + seed / 1000, "train_time": 2.0}],
            facts={"connections": COUNT[arm], "split": "official"})
        for arm, value in ACCURACY.items() for seed in (0, 1)
    ]  # fmt: skip
    return Experiment("compress", "dynamic", "?", runs)


def test_lines_are_error_over_density_in_ascending_order(whole):
    found = dynamic.line(whole, "rigl")
    assert found["x"] == [2.0, 5.0]
    assert found["mean"] == pytest.approx([4.95, 2.95])  # (1 - mean of two seeds)
    assert dynamic.line(whole, "static")["x"] == [5.0]  # (static-bibd is no point of it)


def test_the_picture_holds_what_was_run_and_names_it(whole):
    ((name, fig, data),) = list(drawers(whole)["fig_compress_experiments_dynamic"]())
    assert name == "fig_compress_experiments_dynamic"
    assert set(data["series"]) == {"static", "rigl", "dense", "bibd"}
    shown = fig.axes[0].get_legend_handles_labels()[1]
    for text in ("RigL: grows by gradients", "dense", "a design", "Sparse Momentum (published)"):
        assert text in shown
    assert "2 seeds" in fig.get_suptitle()
    assert "equal numbers are drawn beside each other" in fig.axes[0].get_xlabel()


def test_the_table_has_a_line_for_each_arm(whole):
    lines = list(table(whole))
    assert len(lines) == 2 + len(ACCURACY)
    assert any(line.startswith("rigl-5") and "2.95" in line and " 50 " in line for line in lines)


def test_nothing_is_drawn_without_the_dense_net(whole):
    whole.runs = [run for run in whole.runs if run.arm != "dense"]
    assert not list(drawers(whole)["fig_compress_experiments_dynamic"]())
