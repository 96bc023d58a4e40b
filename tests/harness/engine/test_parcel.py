"""A group that goes to a machine without a shared folder, and comes back as bytes."""

import json

import pytest

from examples.wine.experiments import PLANS
from harness.engine import parcel
from harness.engine.guest import driver
from harness.plan import arm_key
from harness.record.study import Study
from tests.harness.sweep.test_runner import curves

ARGV = ["-m", "examples.wine", "smoke", "--epochs", "4", "--checkpoint-every", "0"]
ARGV += ["--arms", "raw", "--seeds", "0,"]
ENV = {"IDDL_MEMBER": "1", "OMP_NUM_THREADS": "1"} | driver("ray")


@pytest.fixture
def study(tmp_path):
    plan = PLANS["smoke"].override({"epochs": 4})
    return Study("examples.wine", "smoke", plan, tmp_path / "here", {"epochs": 4})


def take(study, items):
    """Unpack what comes, and return the events and how it ended."""
    events, ended = [], ""
    for name, content in items:
        if name == parcel.EVENT:
            events.append(json.loads(content))
        elif name == parcel.ENDED:
            ended = content.decode()
        else:
            parcel.unpack(study, "raw", name, content)
    return events, ended


def test_what_comes_back_is_what_training_here_leaves(study, tmp_path):
    events, ended = take(study, parcel.work(ARGV, ENV, parcel.pack(study, "raw")))
    assert [event[0] for event in events] == ["begin", *["rows"] * 4, "end"]
    assert ended.startswith("0\n")
    here = curves(study.collect())
    alone = Study(study.folder, study.name, study.plan, tmp_path / "alone", study.overrides)
    from harness.cli import main

    words = [*ARGV[2:], "--results", str(alone.root), "--quiet", "--no-figures"]
    assert main(PLANS, "examples.wine", None, words) == 0
    assert here == curves(alone.collect())
    assert not list(study.root.rglob("*.pt"))  # (a checkpoint that is not needed any more)
    (run,) = study.collect().runs
    assert study.collect().provenance[run.provenance]["engine"] == "ray"


def test_who_has_heard_of_the_end_has_the_record(study):
    there = parcel.work(ARGV, ENV, {})
    for name, content in there:
        if name == parcel.EVENT and json.loads(content)[0] == "end":
            break
        if name != parcel.EVENT:
            parcel.unpack(study, "raw", name, content)
    there.close()  # the machine is gone
    assert study.state("raw", 0, study.collect()) == "done"


def test_a_group_goes_on_from_the_checkpoint_of_the_one_that_was_lost(study):
    there = parcel.work(ARGV, ENV, {})
    rows = 0
    for name, content in there:
        if name == parcel.EVENT:
            rows += json.loads(content)[0] == "rows"
        else:
            parcel.unpack(study, "raw", name, content)
        if rows == 3:  # (the checkpoint of the second came before it)
            break
    there.close()  # the machine is gone
    assert study.state("raw", 0, study.collect()) == "partial (epoch 2)"
    events, _ = take(study, parcel.work(ARGV, ENV, parcel.pack(study, "raw")))
    assert events[0] == ["begin", "raw", [0], 4, 2]
    assert [event[3][0]["epoch"] for event in events[1:-1]] == [3, 4]
    (run,) = study.collect().runs
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4]


def test_a_command_that_fails_is_told_with_its_words(study):
    _, ended = take(study, parcel.work([*ARGV[:2], "smok"], ENV, {}))
    code, words = ended.split("\n", 1)
    assert code == "2"
    assert "did you mean 'smoke'" in words


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "examples.wine/smoke/../../../secret",
        "/etc/passwd",
        "examples.wine/smoke/other-12345678/run.json",
        "examples.wine/smoke/experiment.json",
        "examples.wine/smoke/.lock",
    ],
)
def test_no_file_lands_outside_the_folders_of_the_group(study, name):
    with pytest.raises(ValueError, match="no file of raw: nothing was written"):
        parcel.unpack(study, "raw", name, b"content")
    assert not study.root.exists()


def test_files_of_the_group_land(study):
    key = arm_key("raw", study.plan.arms["raw"])
    for name in (f"{key}/seed-0/run.json", f"{key}/group-12345678.pt", "provenance/0123abcd.json"):
        parcel.unpack(study, "raw", f"examples.wine/smoke/{name}", b"content")
        assert (study.home / name).read_bytes() == b"content"


def test_nothing_is_left_where_it_was(study, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    take(study, parcel.work(ARGV, ENV, {}))
    assert not list(tmp_path.glob("iddl-*"))
