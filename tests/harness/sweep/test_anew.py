"""What a run must not be mixed of: epochs of two trainings, or data sets that are not one."""

import json
from types import SimpleNamespace

import pytest
import torch

from examples.wine.experiments import PLANS
from examples.wine.experiments import Config as WineConfig
from harness.cli import main
from harness.experiment import FAILED
from harness.plan import Plan
from harness.record.study import Study
from harness.sweep.runner import Sweep
from harness.sweep.show import Quiet
from tests.harness.sweep.test_runner import PLAN


def sweep(root, train, plan=PLAN):
    study, arms = Study("walk", "smoke", plan, root), tuple(plan.arms)
    one = SimpleNamespace(train=train)
    return Sweep(study, one, (0,), arms[:1], Quiet(), checkpoint_every=0.0)


def cut(stop, attach):
    """A trainer of Linear(1, 1) that is interrupted in the epoch `stop`, counted from 1."""

    def train(config, seed, job):
        for epoch in range(attach(job), config.epochs):
            if epoch + 1 == stop:
                raise KeyboardInterrupt
            yield {"epoch": epoch + 1, "test_accuracy": 0.5}

    return train


def nothing(job):
    return 0


def empty(job):
    return job.attach()


def deaf(job):
    """Restores, and begins with the first epoch all the same."""
    job.attach(net=torch.nn.Linear(1, 1))
    return 0


@pytest.mark.parametrize("attach", [nothing, empty])
def test_a_run_of_which_nothing_was_attached_begins_anew_without_old_rows(tmp_path, attach):
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, cut(4, attach)).run()
    assert not list(tmp_path.rglob("group-*.pt"))
    one = sweep(tmp_path, cut(0, attach))
    (run,) = one.run().runs
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4, 5, 6]
    lines = (one.study.seed_dir("a", 0) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.rows


def test_a_run_that_trains_an_epoch_again_fails_in_words(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, cut(4, deaf)).run()
    (run,) = sweep(tmp_path, cut(0, deaf)).run().runs
    assert (run.status, len(run.rows)) == (FAILED, 3)
    assert run.error.startswith("a row has epoch=1 after one of epoch 3: yield each epoch once")


# ---- one record, one file


def table(path, lines):
    rows = [f"{i % 2 + i / 100},{('red', 'white')[i % 2]}" for i in range(lines)]
    path.write_text("\n".join(["acid,colour", *rows]))


def wine(tmp_path, *words):
    data = f"csv:{tmp_path / 'wheat.csv'}"
    argv = ["smoke", "--data", data, "--epochs", "2", "--arms", "scaled", "--quiet", "--jobs", "1"]
    return main(PLANS, "examples.wine", None, [*argv, "--results", str(tmp_path / "r"), *words])


@pytest.mark.parametrize("seeds", ["2", "3"])
def test_a_file_that_has_changed_is_not_mixed_into_the_record(tmp_path, seeds, capsys):
    """Neither where runs are missing nor where all are done; the old file put back goes on."""
    table(tmp_path / "wheat.csv", 60)
    assert wine(tmp_path, "--seeds", "2") == 0
    table(tmp_path / "wheat.csv", 40)
    assert wine(tmp_path, "--seeds", seeds) == 2
    said = capsys.readouterr().err
    assert "scaled seed 0 on record in" in said
    assert said.count("wheat.csv (") == 2
    assert "in another folder: --results DIR" in said
    assert wine(tmp_path, "--seeds", seeds, "--results", str(tmp_path / "other")) == 0
    table(tmp_path / "wheat.csv", 60)
    assert wine(tmp_path, "--seeds", seeds) == 0


def test_a_record_that_does_not_say_what_it_stands_on_counts_as_done(tmp_path):
    table(tmp_path / "wheat.csv", 60)
    assert wine(tmp_path, "--seeds", "1") == 0
    for path in [p for p in (tmp_path / "r").rglob("*.json") if "csv" in p.read_text()]:
        content = json.loads(path.read_text())
        for holder in [content, *content.get("shared", {}).values(), *content.get("runs", ())]:
            holder.get("facts", {}).pop("csv", None)
        path.write_text(json.dumps(content))
    table(tmp_path / "wheat.csv", 40)
    assert wine(tmp_path, "--seeds", "1") == 0


def test_a_checkpoint_of_another_file_is_begun_anew_and_said(tmp_path, capsys):
    def train(config, seed, job):
        begun.append(job.saved and job.saved["epochs"])
        for epoch in range(job.attach(net=torch.nn.Linear(1, 1)), 4):
            if len(begun) == 1 and epoch == 2:
                raise KeyboardInterrupt
            yield {"epoch": epoch + 1, "test_accuracy": 0.5}

    begun = []
    plan = Plan("?", {"a": WineConfig(data=f"csv:{tmp_path / 'wheat.csv'}")}, (0,), 1)
    table(tmp_path / "wheat.csv", 60)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, train, plan).run()
    table(tmp_path / "wheat.csv", 40)
    (run,) = sweep(tmp_path, train, plan).run().runs
    assert begun == [None, None]
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4]
    assert "a seeds 0: its checkpoint is of wheat.csv (" in capsys.readouterr().err
