"""Figures and reports: the data behind them, their files, and that nothing is outside the page."""

import itertools
import json
import re
import warnings
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from harness.experiment import Experiment, Run
from harness.plan import Plan
from harness.record.study import Study
from harness.result import figure, plotting, report, table


def experiment():
    rng = np.random.default_rng(0)
    runs = []
    for k, arm in enumerate(("low", "high")):
        for seed in range(4):
            rows = [
                {
                    "epoch": e + 1,
                    "test_accuracy": 0.5 + 0.2 * k + 0.05 * e + float(rng.normal()) * 0.01,
                }
                for e in range(3)
            ]
            runs.append(
                Run(
                    arm, seed, arm, {"data": "digits"}, rows, {"flops": 1234567, "split": "a split"}
                )
            )
    runs.append(Run("low", 9, "low", {}, [], {}, "failed", "the loss became nan <at> step 3"))
    return Experiment("mlp", "smoke", "Which is higher?", runs, {"p": {"cpu": "a & b"}})


@dataclass(frozen=True)
class Config:
    """Of an arm."""

    height: int


ARMS = {"low": Config(1), "high": Config(2)}
PLAN = Plan("Which is higher?", ARMS, (0, 1, 2, 3), 1, compare=(("high", "low"),))


def study(tmp_path):
    return Study("mlp", "smoke", PLAN, tmp_path)


def test_curves_hold_the_data_in_legible_form():
    fig = figure.curves(experiment(), "test_accuracy", ["low", "high"])
    (ax,) = fig.get_axes()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "test accuracy")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["low", "high"]
    data = figure.by_epoch(experiment(), "test_accuracy", "high")
    assert ax.get_lines()[1].get_ydata().tolist() == data["mean"]
    values = [run.rows[2]["test_accuracy"] for run in experiment().done() if run.arm == "high"]
    assert data["mean"][2] == pytest.approx(np.mean(values))
    assert data["low"][2] < data["mean"][2] < data["high"][2]


def test_the_triple_is_stable_and_eps_keeps_no_transparency(tmp_path):
    fig = figure.curves(experiment(), "test_accuracy", ["low", "high"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = [p.read_bytes() for p in figure.save(fig, tmp_path / "a", {"x": [1, 2]})]
        again = [p.read_bytes() for p in figure.save(fig, tmp_path / "a", {"x": [1, 2]})]
    assert first == again
    png, eps, data = first
    assert png.startswith(b"\x89PNG")
    assert eps.startswith(b"%!PS-Adobe")
    assert b"curveto" in eps or b"\nc\n" in eps or b" c\n" in eps  # letters are outlines
    for font in (b"FontName", b"FontType", b"findfont", b"glyphshow", b"BitmapSequence"):
        assert font not in eps
    assert json.loads(data) == {"x": [1, 2]}


def test_the_layout_is_solved_once_and_texts_stay_texts(tmp_path, monkeypatch):
    fig = figure.curves(experiment(), "test_accuracy", ["low", "high"])
    solved, engine = [], fig.get_layout_engine()
    execute = engine.execute
    monkeypatch.setattr(engine, "execute", lambda f: solved.append(execute(f)))
    figure.save(fig, tmp_path / "a", {})
    assert figure.svg(fig).startswith("<svg")
    figure.save(fig, tmp_path / "b", {})
    assert len(solved) == 1
    assert not any(text.get_path_effects() for text in fig.findobj(Text))


def luminance(color):
    r, g, b = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_published_pictures_are_filed_by_study_and_plan(tmp_path, monkeypatch):
    """Loose ones beside the script keep the names that users of the original look for."""
    saved = []
    monkeypatch.setattr(figure, "save", lambda fig, stem, data: saved.append(stem) or [stem])
    pictures = lambda whole: [("mlp_experiments_loss", Figure(), {})]  # noqa: E731
    argv = ["dump.p", "--out", str(tmp_path), "--publish"]
    read = lambda path: experiment()  # noqa: E731
    assert plotting.run(argv, tmp_path / "mlp", pictures, lambda whole: ["table"], read) == 0
    folder = tmp_path / "figure" / "mlp" / "smoke"
    assert saved == [tmp_path / "mlp_experiments_loss", folder / "loss"]
    for stem, name in (("fig_resnet_cells", "cells"), ("fig_resnet_experiments", "experiments")):
        assert plotting.picture(stem, "resnet") == name


def test_series_differ_in_grey_too():
    """No two of the first three colours (one per family) are one grey, and no marker repeats."""
    greys = sorted(luminance(c) for c in figure.COLORS[:3])
    assert min(b - a for a, b in itertools.pairwise(greys)) > 0.02
    pairs = {(figure.MARKERS[(i + i // 8) % 8], figure.COLORS[i % 8]) for i in range(24)}
    assert len(pairs) == 24
    assert figure.tint("#000000", 0.25) == (0.75, 0.75, 0.75)


class Outside(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.links, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v[:1] != "#"]


def test_the_report_is_one_page_with_everything(tmp_path):
    page = report.write(study(tmp_path), experiment()).read_text()
    parser = Outside()
    parser.feed(page)
    assert [link.split(",")[0] for link in parser.links] == [
        "data:text/csv;charset=utf-8",
        "data:application/json;charset=utf-8",
    ]
    assert not re.search(r"<script|@import|url\(http", page)
    for part in (
        "Which is higher?",
        "python -m mlp smoke",
        "high is better than low",
        "the loss became nan &lt;at&gt; step 3",
        "cpu: a &amp; b",
        "1,234,567",
        "Digits (a split)",
        "n=4",
        "<svg",
    ):
        assert part in page, part
    assert 'http-equiv="refresh"' not in page


def test_a_running_report_reloads_and_shows_what_runs(tmp_path):
    running = [Run("high", 7, "high", {}, [{"epoch": 1, "test_accuracy": 0.9}])]
    page = report.write(study(tmp_path), experiment(), running).read_text()
    assert 'http-equiv="refresh"' in page
    assert "Now: high, 1 seeds, epoch 1." in page


def test_many_arms_take_several_figures(tmp_path):
    many = experiment()
    for i in range(30):
        many.runs.append(replace(many.runs[0], arm=f"a-rather-long-name-of-arm-{i}"))
    few, more = (report._curves(study(tmp_path), x).count("<svg") for x in (experiment(), many))
    assert more == 3 * few  # 32 arms in three figures for each metric, and no warning of matplotlib


def test_an_empty_report(tmp_path):
    page = report.write(study(tmp_path), Experiment("mlp", "smoke")).read_text()
    assert "No run has finished yet." in page


def test_a_live_report_that_fails_ends_no_run(tmp_path, monkeypatch, capsys):
    clock = [0.0]

    def write(*_):
        raise KeyError("width")

    monkeypatch.setattr(report, "write", write)
    live = report.Live(study(tmp_path), lambda: clock[0])
    for _ in range(50):
        clock[0] += 10
        live([])
    err = capsys.readouterr().err
    assert err == "report.html is not rewritten until the end (KeyError: 'width')\n"


def test_the_live_report_is_thrifty(tmp_path, monkeypatch):
    clock, written = [0.0], []

    def write(*_):
        written.append(clock[0])
        clock[0] += 1.0  # writing takes a second here, so at most one in twenty

    monkeypatch.setattr(report, "write", write)
    live = report.Live(study(tmp_path), lambda: clock[0])
    for _ in range(1000):
        clock[0] += 0.1
        live([])
    assert 3 <= len(written) <= 6


def test_table():
    lines = table.summarize(experiment())
    assert [(line["name"], line["n"], line["flops"]) for line in lines] == [
        ("low", 4, 1234567),
        ("high", 4, 1234567),
    ]
    heads, rows = table.cells(lines)
    assert heads == ["model", "test accuracy, 95 % interval", "FLOPs"]
    assert re.fullmatch(r"0\.\d{4} ± 0\.\d{4} \(n=4\)", rows[0][1])
    assert table.failures(experiment()) == ["low seed 9: the loss became nan <at> step 3"]
