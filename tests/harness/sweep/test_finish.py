"""The end of a call: record, table and report stand whatever a picture meets."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.experiment import Experiment, Run
from harness.record import store
from harness.record.study import Study
from harness.result import plotting
from harness.result.pictures import all_of, draw
from mlp import plot_mlp_experiments as plot
from mlp.experiments import PLANS, VERBS
from parallel import plot_parallel_experiments as parallel_plot
from resnet import plot_resnet_experiments as resnet_plot
from tests.tree import ROOT

SMOKE = PLANS["smoke"]
OWN = {
    "my-biregular": replace(SMOKE.arms["B-MLP-3-1"], pattern="random_biregular"),
    "B-MLP-3-5": replace(SMOKE.arms["B-MLP-3-1"], hidden=(64, 72)),
}
MINE = {"smoke": replace(SMOKE, arms={**SMOKE.arms, **OWN})}
STEMS = ["", "_sparse_only", "_accuracy", "_loss", "_train_loss"]
ARMS = ["--arms", "MLP-3-1", "B-MLP-3-1", *OWN, "--seeds", "2", "--epochs", "2", "--no-timed"]


def run(root, *words, plans=MINE):
    argv = ["smoke", *ARMS, "--jobs", "1", "--results", str(root), *words]
    return main(plans, "mlp", VERBS, argv)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    assert run(root, "--quiet") == 0
    return root


@pytest.fixture
def again(trained, tmp_path):
    """A copy of the results to call again."""
    return shutil.copytree(trained, tmp_path / "own")


def out(root):
    (path,) = (root / "mlp" / "smoke").glob("epochs-2*/experiment.json")
    return path.parent


def test_an_arm_of_ones_own_is_trained_and_drawn(trained):
    home = out(trained)
    for stem in STEMS:
        for suffix in ("png", "eps", "json"):
            assert (home / f"mlp_experiments{stem}.{suffix}").stat().st_size > 300
    series = json.loads((home / "mlp_experiments.json").read_text())["series"]
    assert list(series) == ["MLP", "B-MLP", "my-biregular"]
    assert series["B-MLP"]["arm"] == ["B-MLP-3-1", "B-MLP-3-5"]
    sparse = json.loads((home / "mlp_experiments_sparse_only.json").read_text())["series"]
    assert list(sparse) == ["B-MLP", "my-biregular"]


def test_names_that_nobody_knows_get_looks_of_their_own(trained):
    whole = store.load(out(trained) / "experiment.json")
    found = {name: fig for name, fig, _ in plot.figures(whole)}
    panels = found["mlp_experiments_accuracy"].axes
    assert [ax.get_title() for ax in panels] == ["hidden 16-20", "hidden 64-72"]
    lines = {line.get_label(): line.get_color() for line in panels[0].get_lines()}
    assert set(lines) == {plot.LABELS["MLP"], plot.LABELS["B-MLP"], "my-biregular"}
    assert len(set(lines.values())) == 3


def test_a_picture_that_fails_is_one_line_and_costs_nothing_else(again, monkeypatch, capsys):
    def broken(*_):
        raise KeyError("width")

    home = out(again)
    for path in home.iterdir():
        if path.suffix in (".png", ".eps", ".html"):
            path.unlink()
    monkeypatch.setattr(plot, "_against_connections", broken)
    assert run(again) == 0
    shown, err = capsys.readouterr()
    assert "my-biregular" in shown
    assert "report:  " in shown
    told = [line for line in err.splitlines() if "not drawn" in line]
    assert told == [
        "figure not drawn: mlp_experiments (KeyError: 'width')",
        "figure not drawn: mlp_experiments_sparse_only (KeyError: 'width')",
    ]
    assert (home / "report.html").read_text().count("<svg") == 3
    assert {p.stem for p in home.glob("*.png")} == {f"mlp_experiments{s}" for s in STEMS[2:]}
    monkeypatch.undo()
    assert run(again, "--quiet") == 0  # it is tried again, though nothing was trained
    assert len(list(home.glob("*.png"))) == 5


@pytest.mark.parametrize("where", ["drawers", "settle"])
def test_the_table_comes_before_anything_is_drawn(again, monkeypatch, capsys, where):
    """Even where the plot module as a whole, or the drawing of every page, fails."""
    from harness.result import figure

    def broken(*_):
        raise RuntimeError("no picture\nat all")

    monkeypatch.setattr(plot if where == "drawers" else figure, where, broken)
    (out(again) / ".drawn").unlink()
    if where == "drawers":
        assert run(again) == 0
        shown, err = capsys.readouterr()
        assert "figure not drawn: all (RuntimeError: no picture)" in err
        assert "report:  " in shown
    else:
        with pytest.raises(RuntimeError, match="no picture"):
            run(again)
        shown, _ = capsys.readouterr()
    assert "B-MLP-3-5" in shown
    assert len(store.load(out(again) / "experiment.json").done()) == 8


def times(home):
    return {path.name: path.stat().st_mtime_ns for path in home.iterdir() if path.is_file()}


def test_nothing_trained_nothing_drawn_unless_something_is_missing(again, capsys):
    home = out(again)
    assert run(again, "--quiet") == 0  # (a copy: its files are newer than the note)
    before = times(home)
    assert run(again) == 0
    shown, err = capsys.readouterr()
    assert times(home) == before
    assert "drawing" not in err
    assert "mlp_experiments_sparse_only" in shown
    (home / "mlp_experiments_loss.eps").unlink()
    assert run(again) == 0
    assert "drawing 5 figures ..." in capsys.readouterr().err
    after = times(home)
    assert after.keys() == before.keys()
    assert after["experiment.json"] == before["experiment.json"]


def test_figures_are_drawn_once_where_a_script_draws_them_too(again):
    home = out(again)
    for path in [*home.glob("*.png"), home / "report.html"]:
        path.unlink()
    assert run(again, "--no-figures", "--quiet") == 0
    assert not list(home.glob("*.png"))
    page = (home / "report.html").read_text()
    assert page.count("<svg") == 5
    assert len(page) < 300_000  # a phone fetches it


def test_the_run_folders_are_read_once_where_nothing_is_trained(again, monkeypatch):
    read = []
    load_run = store.load_run
    monkeypatch.setattr(store, "load_run", lambda folder: read.append(folder) or load_run(folder))
    assert run(again, "--quiet") == 0
    assert len(read) == len(set(read)) == 8


# ---- records that are committed

RECORDS = sorted(ROOT.glob("results/*/*/experiment.json"))


def plans_of(folder):
    import importlib

    return importlib.import_module(f"{folder}.experiments").PLANS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_a_committed_record_is_not_rewritten_by_looking_at_it(path, tmp_path):
    folder, name = path.parts[-3:-1]
    copy = tmp_path / folder / name / "experiment.json"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    study = Study(folder, name, plans_of(folder)[name], tmp_path)
    for known in (study.collect(), None):
        whole = study.save(known)
        assert copy.read_bytes() == path.read_bytes()
        assert store.load(copy.with_name("experiment.pkl")) == whole
    assert not list(copy.parent.glob("experiment-before*"))


def test_the_command_of_a_committed_record_leaves_the_checkout_clean(tmp_path, monkeypatch, capsys):
    paths = [path.relative_to(ROOT) for path in RECORDS]
    for path in [".gitignore", *paths]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "records"]):
        subprocess.run([*git, *words], check=True)
    for plan in ("paper", "notebook"):
        assert main(PLANS, "mlp", VERBS, [plan]) == 0
        anew = f"anew, in a folder of your own: python -m mlp {plan} --results mine\n"
        assert anew in capsys.readouterr().err
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    assert (status.returncode, status.stdout) == (0, "")
    assert (tmp_path / "results" / "mlp" / "paper" / "report.html").exists()
    for path in paths:
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes()


# ---- plot scripts that are given something else

SCRIPTS = {"mlp": plot, "resnet": resnet_plot, "parallel": parallel_plot}
OF = {"mlp": "notebook", "resnet": "cpu", "parallel": "ist"}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("folder", OF)
def test_a_plot_script_draws_its_own_records_only(script, folder, tmp_path, capsys):
    record = ROOT / "results" / folder / OF[folder] / "experiment.json"
    status = SCRIPTS[script].main([str(record), "--out", str(tmp_path)])
    shown, err = capsys.readouterr()
    if script == folder:
        assert (status, err) == (0, "")
        assert list(tmp_path.glob("*.png"))
        return
    assert status == 2
    assert f"{record} is a record of {folder} (plan {OF[folder]}), and this script draws" in err
    assert f"those of {script}: try {folder}/plot_{folder}_experiments.py" in err
    assert shown == ""


def test_a_study_within_another_folder_draws_its_own_records():
    run = Run("a", 0, "a", {}, [{"epoch": 1, "test_accuracy": 0.5}])
    whole = Experiment("examples.wine", "smoke", "", [run])
    plotting.check(whole, Path("r.json"), ROOT / "examples" / "wine")
    with pytest.raises(ValueError, match=r"try examples/wine/plot_wine_experiments\.py"):
        plotting.check(whole, Path("r.json"), ROOT / "mlp")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_plot_script_says_what_a_file_is_not(script, tmp_path, capsys):
    picture, page, odd = tmp_path / "a.png", tmp_path / "a.md", tmp_path / "a.json"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(200)))
    page.write_text("# A page\n")
    odd.write_text('{"name": "other"}')
    for path in (picture, page):
        assert SCRIPTS[script].main([str(path), "--out", str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert f"error: {path} is no record" in err
        assert "expected an experiment.json, or a pickle of one (.p, .pkl)" in err
    assert SCRIPTS[script].main([str(odd), "--out", str(tmp_path)]) == 2
    assert "is not an Experiment" in capsys.readouterr().err


def test_a_plot_script_meets_a_record_that_it_can_only_draw_in_part(
    trained, tmp_path, monkeypatch, capsys
):
    path = out(trained) / "experiment.json"

    def broken(*_):
        raise ValueError("nothing to see")

    monkeypatch.setattr(plot, "_per_epoch", broken)
    assert plot.main([str(path), "--out", str(tmp_path)]) == 0
    assert "figure not drawn: mlp_experiments_loss (ValueError" in capsys.readouterr().err
    assert len(list(tmp_path.glob("*.png"))) == 2
    monkeypatch.setattr(plot, "_against_connections", broken)
    assert plot.main([str(path), "--out", str(tmp_path)]) == 1


def test_drawing_all_is_strict_and_drawing_what_one_can_is_not(capsys):
    def broken():
        raise ValueError("no")

    drawers = {"first": broken, "second": lambda: [("second", None, {})]}
    with pytest.raises(ValueError, match="no"):
        all_of(drawers)
    assert draw(drawers) == ([("second", None, {})], False)
    assert capsys.readouterr().err == "figure not drawn: first (ValueError: no)\n"
