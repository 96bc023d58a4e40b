"""A metric has a direction, a unit and a scale: verdicts, tables and documents go by them."""

import json
from dataclasses import dataclass

import pytest

from harness.cli import main
from harness.metric import ACCURACY, Metric, metric_of
from harness.plan import Plan
from harness.result.stats import interval, paired

TRAINER = """
def train(config, seed, job):
    for epoch in range(config.epochs):
        yield {"epoch": epoch + 1, **{config.key: config.level + seed / 1000}}
"""


@dataclass(frozen=True)
class Config:
    """Of an arm whose value is known."""

    level: float
    key: str
    epochs: int = 2


@pytest.fixture
def judge(tmp_path, monkeypatch, capsys):
    """Runs a study of two arms, good and bad; gives what is printed, and the JSON document."""
    (tmp_path / "judged").mkdir()
    (tmp_path / "judged" / "__init__.py").write_text("")
    (tmp_path / "judged" / "trainer.py").write_text(TRAINER)
    monkeypatch.syspath_prepend(tmp_path)

    def run(metric, good, bad):
        key = metric_of(metric).name
        arms = {"good": Config(good, key), "bad": Config(bad, key)}
        plan = Plan("Which?", arms, tuple(range(6)), 1, compare=(("good", "bad"),), metric=metric)
        argv = ["race", "--jobs", "1", "--results", str(tmp_path / "results" / key)]
        assert main({"race": plan}, "judged", {}, argv) == 0
        shown = capsys.readouterr().out
        assert main({"race": plan}, "judged", {}, [*argv, "--json"]) == 0
        page = (tmp_path / "results" / key / "judged" / "race" / "report.html").read_text()
        assert "good is better than bad" in page
        return shown, json.loads(capsys.readouterr().out)

    return run


def test_of_a_loss_less_is_better(judge):
    shown, document = judge("test_loss", good=0.25, bad=0.75)
    assert "good is better than bad: -0.5000 ± 0.0000 (n=6)" in shown
    assert "test loss, 95 % interval" in shown
    assert document["comparisons"][0]["verdict"] == "good is better than bad"
    assert (document["metric"], document["better"]) == ("test_loss", "lower")


def test_bytes_and_seconds_have_their_units(judge):
    shown, document = judge("bytes_payload", good=2e6, bad=5e6)
    assert "good is better than bad: -3.000 ± 0.000 MB (n=6)" in shown
    assert "bytes payload (MB), 95 % interval" in shown
    assert "2.000 ± 0.000 (n=6)" in shown
    assert document["unit"] == "MB"
    assert document["table"][0]["mean"] == pytest.approx(2e6)
    shown, _ = judge("train_time", good=1.5, bad=2.0)
    assert "good is better than bad: -0.500 ± 0.000 s (n=6)" in shown


def test_a_metric_of_ones_own(judge):
    speed = Metric("speed", better="higher", unit="images/s", scale=1.0, digits=0)
    shown, _ = judge(speed, good=900.0, bad=400.0)
    assert "good is better than bad: 500 ± 0 images/s (n=6)" in shown


def test_an_accuracy_is_a_fraction_and_its_differences_are_points(judge):
    shown, document = judge("test_accuracy", good=0.9, bad=0.7)
    assert "test accuracy, 95 % interval" in shown
    assert "good is better than bad: 20.00 ± 0.00 points (n=6)" in shown
    assert "0.9025 ± 0.0020 (n=6)" in shown
    assert document["metric"] == "test_accuracy"


def test_known_names_resolve_and_others_ask():
    assert metric_of("test_accuracy") == ACCURACY == Metric("test_accuracy")
    for name in ("accuracy", "worst_recall", "precision_at_5"):
        assert metric_of(name) == Metric(name, better="higher")
    assert metric_of("test_error") == Metric("test_error", better="lower")
    assert Plan("?", {}, (0,), 1).measure == ACCURACY
    with pytest.raises(ValueError, match="metric 'f1': is more of it better, or less"):
        Plan("?", {}, (0,), 1, metric="f1")
    with pytest.raises(ValueError, match="did you mean 'lower'"):
        Metric("f1", better="low")
    with pytest.raises(ValueError, match='better="lower"'):
        Metric("f1", scale=-100)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_no_verdict_is_stronger_than_its_interval(better):
    metric = Metric("x", better)
    assert metric.judge(-0.1, 0.2) is None
    assert metric.judge(0.0, 0.2) is None
    assert metric.judge(0.1, 0.2) == ("better" if better == "higher" else "worse")
    assert metric.judge(-0.2, -0.1) == ("worse" if better == "higher" else "better")
    assert metric.judge(float("nan"), float("nan")) is None
    even = paired("A", "B", {0: 0.0, 1: 2.0}, {0: 1.0, 1: 1.0}, metric)
    assert even.verdict == "no difference shown between A and B"
    assert interval([2.0]).text(*metric.of_values[:2]) == "2.0000 (n=1, no interval)"
