"""Plots of the ResNet study: from a real dump, from part of one, from the original's arrays."""

import contextlib
import dataclasses
import io
import json
import pickle
import shutil

import numpy as np
import pytest

from harness.cli import main
from harness.record import store
from resnet import bench
from resnet import plot_resnet_experiments as plot
from resnet.experiments import PLANS, VERBS
from resnet.plots import exits as plot_exits
from resnet.plots import factors as plot_factors


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A small real run: two seeds of a dense, a sparse and an exit net."""
    folder = tmp_path_factory.mktemp("dump")
    path = folder / "resnet_experiments_20260102_030405.p"
    argv = ["smoke", "--seeds", "2", "--epochs", "1", "--first", "400", "--quiet", "--jobs", "1"]
    argv += ["--arms", "ResNet-10", "B-ResNet-10", "ResNet-10-EE", "--dump", str(path)]
    assert main(PLANS, "resnet", VERBS, [*argv, "--results", str(folder / "results")]) == 0
    return path


@pytest.fixture(scope="module")
def plotted(dump):
    """The folder with all that the script makes of the dump, and what it printed."""
    folder, said = dump.parent / "plotted", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert plot.main([str(dump), "--out", str(folder)]) == 0
    return folder, said.getvalue()


def test_plots_of_a_dump(dump, plotted):
    folder, said = plotted
    for stem in (
        "fig_resnet_experiments",
        "fig_resnet_experiments_sparse_only",
        "fig_resnet_curves",
    ):
        for suffix in ("png", "eps", "json"):
            assert (folder / f"{stem}.{suffix}").stat().st_size > 300
    log = (folder / "log" / "resnet_experiments_plot_20260102_030405.log").read_text()
    assert log in said
    whole = store.load(dump)
    data = json.loads((folder / "fig_resnet_experiments.json").read_text())["series"]
    assert list(data) == ["ResNet", "B-ResNet", "ResNet-EE"]
    mean = sum(whole.final("B-ResNet-10", "test_accuracy").values()) / 2
    assert data["B-ResNet"]["mean"] == [pytest.approx(mean)]
    flops = next(r.facts["flops_iddl"] for r in whole.runs if r.arm == "B-ResNet-10")
    assert data["B-ResNet"]["flops"] == [flops]
    sparse = json.loads((folder / "fig_resnet_experiments_sparse_only.json").read_text())
    assert list(sparse["series"]) == ["B-ResNet"]


def test_the_arrays_of_the_original(plotted, tmp_path):
    """Written as pickled numpy arrays, and read back through the allow-list only."""
    folder, _ = plotted
    names = folder / "model_name_array_20260102_030405.pkl"
    accuracies = tmp_path / "accuracy_array_20260102_030405.pkl"
    shutil.copy(folder / accuracies.name, accuracies)
    loaded = pickle.loads(accuracies.read_bytes())  # as a user of the original would
    assert isinstance(loaded, np.ndarray)
    assert store.load_array(names) == ["ResNet-10", "B-ResNet-10", "ResNet-10-EE"]
    assert store.load_array(accuracies) == loaded.tolist()
    for evil in (pickle.dumps(print), pickle.dumps(np.array([print], dtype=object)), b"junk"):
        accuracies.write_bytes(evil)
        with pytest.raises(ValueError, match=r"not an array that can be trusted.*Nothing in it"):
            store.load_array(accuracies)


def test_the_originals_own_arrays_are_plotted(tmp_path, capsys):
    store.dump_array([0.9067, 0.8555, 0.8641], tmp_path / "accuracy_array_20200516_072746.pkl")
    names = ["ResNet-18", "B-ResNet-18", "R-ResNet-18"]
    store.dump_array(names, tmp_path / "model_name_array_20200516_072746.pkl")
    path, out = tmp_path / "accuracy_array_20200516_072746.pkl", tmp_path / "out"
    assert plot.main([str(path), "--out", str(out)]) == 0
    assert "B-ResNet-18       54.71  0.8555 (n=1, no interval)" in capsys.readouterr().out
    data = json.loads((out / "fig_resnet_experiments.json").read_text())
    assert data["series"]["R-ResNet"]["mean"] == [0.8641]
    store.dump_array(["ResNet-19"] * 3, tmp_path / "model_name_array_20200516_072746.pkl")
    assert plot.main([str(path), "--out", str(out)]) == 2
    assert "has a model 'ResNet-19'; expected some of ResNet-18" in capsys.readouterr().err


def test_odd_arrays_are_refused_in_a_sentence(tmp_path, capsys):
    path = tmp_path / "accuracy_array_20200516_072746.pkl"
    names = path.with_name("model_name_array_20200516_072746.pkl")
    for accuracies, models in (
        ([0.5], [["ResNet-18"]]),
        (["a"], ["ResNet-18"]),
        ([[0.5, 0.6]], ["ResNet-18"]),
        ([float("nan")], ["ResNet-18"]),
        ([0.5, 0.6], ["ResNet-18"]),
        ([7.0], ["ResNet-18"]),
    ):
        store.dump_array(accuracies, path)
        store.dump_array(models, names)
        assert plot.main([str(path), "--out", str(tmp_path)]) == 2
        assert "array_20200516_072746.pkl" in capsys.readouterr().err


def test_cells_stand_at_their_groups_also_in_half_a_grid(root):
    whole = store.load(committed("factors", root))
    whole.runs = [r for r in whole.runs if r.arm in ("dense-V4-full", "iddl-V2-full")]
    _, fig, _ = plot_factors.figures(whole, "note")[0]
    places = [
        round(line.get_xdata()[0]) for line in fig.axes[0].get_lines() if len(line.get_xdata())
    ]
    assert set(places) == {1, 2}  # of 0, 1, 2 for 1, 2, 4 groups


def committed(plan, root):
    return root / "results" / "resnet" / plan / "experiment.json"


@pytest.mark.parametrize("plan", ["factors", "groups", "exits"])
@pytest.mark.parametrize("runs", [1, 7])
def test_half_a_study_is_drawn_as_far_as_it_is(plan, runs, root, tmp_path):
    """One run of one seed, or a few: fewer lines, no analysis, no crash."""
    whole = store.load(committed(plan, root))
    whole.runs = [run for run in whole.runs if run.seed == 0][:runs]
    store.dump(whole, tmp_path / "part.p")
    assert plot.main([str(tmp_path / "part.p"), "--out", str(tmp_path)]) == 0
    assert list(tmp_path.glob("fig_*.png"))


def test_errors_are_one_sentence(tmp_path, capsys, monkeypatch):
    assert plot.main([str(tmp_path / "none.p")]) == 2
    assert "none.p" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "resnet", ignore_errors=True)
    monkeypatch.setattr(plot, "HERE", tmp_path / "resnet")
    assert plot.main([]) == 2
    assert "run `bash resnet/run_resnet_experiments.sh`" in capsys.readouterr().err


def test_nets_of_one_depth_have_a_row_each_with_cost_and_seeds(root):
    """Costs that differ by a few per cent are no axis."""
    whole = store.load(committed("cpu", root))
    for name, fig, data in plot.figures(whole)[:2]:
        (ax,) = fig.axes
        texts = [text.get_text() for text in ax.get_yticklabels()]
        assert texts[-1] == "random, degrees of bibd-ResNet\n6.56 M FLOPs", name
        assert len(texts) == len(data["series"])
        assert all(len(s["seeds"][0]) == s["n"][0] == 3 for s in data["series"].values())
        assert ax.get_xlabel() == "test accuracy"


def test_nets_of_several_depths_are_lines_over_their_cost(root):
    whole = store.load(committed("cpu", root))
    deeper = [dataclasses.replace(run, arm="ResNet-34") for run in whole.runs[:3]]
    whole.runs += deeper
    _, fig, data = plot.figures(whole)[0]
    assert data["series"]["ResNet"]["arm"] == ["ResNet-18", "ResNet-34"]
    assert fig.axes[0].get_xlabel() == plot.AXIS


def test_measured_times_say_what_they_stand_on(root, tmp_path):
    """The record of `resnet bench` is enough to draw it anew."""
    kept = json.loads((root / "figure" / "resnet" / "exits" / "time.json").read_text())
    bench.save(kept, tmp_path / "time")
    assert json.loads((tmp_path / "time.json").read_text()) == kept
    fig = plot_exits.times(kept)
    words = " ".join(fig.get_suptitle().split())
    for text in ("CIFAR-10", "tested on 40,000-49,999", "seed 0", "no interval", "99th percentile"):
        assert text in words
    for ax, batch in zip(fig.axes, (1, 128), strict=True):
        bars = [line for line in ax.get_lines() if line.get_marker() == "|"]
        mine = [line for line in kept["table"] if line["batch"] == batch]
        mine = [line for line in mine if "nobody leaves" not in line["name"]]
        spans = {(line["p50"], line["p99"]) for line in mine}
        assert {tuple(bar.get_xdata()) for bar in bars} == spans
