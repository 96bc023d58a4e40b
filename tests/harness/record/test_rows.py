"""The rows protocol: what breaks it fails the run in words, whoever watches."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.cli import main
from harness.experiment import FAILED
from harness.plan import Plan
from harness.record import store
from harness.record.rows import RowError, check_row
from harness.record.study import Study
from harness.sweep.runner import Sweep
from harness.sweep.show import Bars, Lines, Quiet

GOOD = {"epoch": 1, "test_accuracy": 0.5}
WRONG = {  # rows of one epoch, and what is said of them
    "no epoch": (
        {"loss": 1.0, "test_accuracy": 0.5},
        "a row has no 'epoch' (it has loss, test_acc",
    ),
    "epoch 0": (
        {"epoch": 0, "test_accuracy": 0.5},
        "has epoch=0: expected 'epoch', a whole number",
    ),
    "no metric": (
        {"epoch": 1, "loss": 0.5, "accuracy": 0.9},
        "no row has 'test_accuracy' (rows have epoch, loss, accuracy): set Plan.metric",
    ),
    "text": ({"epoch": 1, "test_accuracy": "high"}, "a row has a str as 'test_accuracy'"),
    "tensor": (
        GOOD | {"more": torch.zeros(2)},
        "record.more is of type Tensor; a record holds builtin",
    ),
    "tuple": ((1, 0.5), "a trainer yields one plain dict for each epoch, got a tuple"),
    "nothing": (None, "the trainer yielded no row; expected one for each epoch"),
}


@dataclass(frozen=True)
class Config:
    """Of an arm."""

    epochs: int = 1


PLAN = Plan("?", {"a": Config(), "b": Config(2)}, (0, 1), 1)


def trainer(row):
    """Arm a yields this row; arm b is well."""

    def train(config, seed, job):
        if config.epochs == 1:
            yield from [] if row is None else [row]
        else:
            yield GOOD

    return SimpleNamespace(train=train)


def outcome(root, row, show):
    study = Study("walk", "smoke", PLAN, Path(root))
    whole = Sweep(study, trainer(row), (0, 1), ("a", "b"), show).run()
    show.close()
    assert store.load(study.out / "experiment.json") == whole
    return [(run.arm, run.seed, run.status, run.error) for run in whole.runs]


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_row_fails_its_run_in_words_whoever_watches(tmp_path, case):
    row, says = WRONG[case]
    watchers = {"quiet": Quiet(), "lines": Lines(4), "bars": Bars(4)}
    found = [outcome(tmp_path / name, row, show) for name, show in watchers.items()]
    assert found[0] == found[1] == found[2]
    assert [status for _, _, status, _ in found[0]] == [FAILED, FAILED, "done", "done"]
    assert says in found[0][0][3]


def test_a_watcher_reads_only_numbers(capsys):
    show = Lines(1)
    show.begin("a", [0], 1, SimpleNamespace())
    show.rows("a", [0], [GOOD | {"train_loss": "low"}])
    show.end("a", [0])
    assert "accuracy 0.5000" in capsys.readouterr().err


def test_a_stack_of_the_wrong_height_is_told(tmp_path):
    stacked = SimpleNamespace(train_stack=lambda config, seeds, job: iter([[GOOD]]))
    study = Study("walk", "smoke", PLAN, tmp_path)
    whole = Sweep(study, stacked, (0, 1), ("a",), Quiet()).run()
    assert {run.status for run in whole.runs} == {FAILED}
    assert "a row for each of the 2 seeds" in whole.runs[0].error
    assert "got 1 of them" in whole.runs[0].error


def test_facts_that_are_no_builtin_values_fail_the_run(tmp_path):
    one = trainer(GOOD)
    one.describe = lambda config, job: {"shape": torch.Size([2]), "net": torch.nn.ReLU()}
    whole = Sweep(Study("walk", "smoke", PLAN, tmp_path), one, (0,), ("a",), Quiet()).run()
    assert whole.runs[0].error.startswith("TypeError: describe.net is of type ReLU")


def test_what_may_be_left_out():
    check_row({"epoch": 3, "test_accuracy": None}, "test_accuracy")
    check_row({"epoch": 3, "failed": "the loss became nan"}, "test_accuracy")
    with pytest.raises(RowError, match=r"set Plan\.metric"):
        check_row({"epoch": 3, "failed": ""}, "test_accuracy")


def test_a_config_without_epochs_is_refused_before_anything_runs(tmp_path):
    @dataclass(frozen=True)
    class Bare:
        width: int = 1

    plan = Plan("?", {"a": Bare()}, (0,), 1)
    one = Sweep(Study("walk", "smoke", plan, tmp_path), trainer(GOOD), (0,), ("a",), Quiet())
    with pytest.raises(ValueError, match="a: its Bare has no field `epochs`"):
        one.run()


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A study in a folder of its own: exit status and what is printed."""
    (tmp_path / "rowed").mkdir()
    (tmp_path / "rowed" / "__init__.py").write_text("")
    source = "def train(config, seed, job):\n    yield {'epoch': 1, 'test_accuracy': 0.5}\n"
    (tmp_path / "rowed" / "trainer.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*words):
        argv = ["smoke", *words, "--jobs", "1", "--results", str(tmp_path)]
        return main({"smoke": PLAN}, "rowed", {}, argv), *capsys.readouterr()

    return run


def spoil(home, change):
    """Change the rows of seed 0 of arm a as an older version might have left them."""
    path = next(home.glob("a-*")) / "seed-0" / "run.json"
    content = json.loads(path.read_text())
    content["rows"] = change(content["rows"])
    path.write_text(json.dumps(content))


def test_a_record_with_a_row_that_has_no_epoch_is_mended(call, tmp_path):
    assert call()[0] == 0
    home = tmp_path / "rowed" / "smoke"
    for broken in ([{"test_accuracy": 0.5}], []):
        spoil(home, lambda rows, broken=broken: broken)
        assert call("--dry-run")[1].count(" done ") == 3
        status, out, _ = call()
        assert (status, "Traceback" in out) == (0, False)
        assert len(store.load(home / "experiment.json").done()) == 4


def test_a_record_without_the_metric_is_told_in_words(call, tmp_path):
    assert call()[0] == 0
    home = tmp_path / "rowed" / "smoke"
    text = (home / "experiment.json").read_text().replace("test_accuracy", "accuracy")
    for path in home.rglob("run.json"):
        path.write_text(path.read_text().replace("test_accuracy", "accuracy"))
    (home / "experiment.json").write_text(text)
    for words in ((), ("--quiet",), ("--json",)):
        status, _, err = call(*words)
        assert status == 1
        assert "no finished run has 'test_accuracy' in its last row (rows have epoch, acc" in err
    assert len(store.load(home / "experiment.json").done()) == 4  # nothing was thrown away
