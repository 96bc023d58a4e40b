"""Runs that start from the weights of other runs: a study of two plans, the second goes on."""

import shlex

import pytest
import torch

from harness.cli import main
from harness.record import store
from harness.sweep import modules, start

EXPERIMENTS = '''
"""Train, then train on."""

from dataclasses import dataclass

from harness.plan import Plan


@dataclass(frozen=True)
class Config:
    """One layer."""

    rate: float = 0.5
    """How far a step goes."""
    start: tuple[str, ...] = ()
    """Plan and arm to start from."""
    epochs: int = 3
    """Steps."""


def plan(arms, **options):
    return Plan("?", arms, (0, 1), 0.1, **options)


PLANS = {
    "first": plan({"base": Config()}),
    "tune": plan({"on": Config(0.25, ("first", "base")), "anew": Config(0.25)}),
    "far": plan({"on": Config(start=("refine", "first", "base"))}),
    "lost": plan({"on": Config(start=("first", "bass"))}),
    "odd": plan({"on": Config(start=("first",))}),
}
'''
TRAINER = '''
"""A layer whose weight goes towards 8, a share of the way per epoch; it begins at the seed."""

import torch

from harness.record import weights


def train(config, seed, job):
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, seed)
    if job.start:
        weights.load_state(net, job.start)
    for epoch in range(job.attach(net=net), config.epochs):
        with torch.no_grad():
            net.weight += config.rate * (8 - net.weight)
        yield {"epoch": epoch + 1, "test_accuracy": net.weight.item()}
'''


@pytest.fixture
def study(tmp_path, monkeypatch, capsys):
    """The command line of the study `refine`, in this process."""
    folder = tmp_path / "refine"
    folder.mkdir()
    for name, text in (("__init__", '"""Two plans."""'), ("experiments", EXPERIMENTS)):
        (folder / f"{name}.py").write_text(text)
    (folder / "trainer.py").write_text(TRAINER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        argv = [*words, "--jobs", "1"]
        status = main(modules.plans("refine"), "refine", None, [*argv, "--json"])
        return status, *capsys.readouterr()

    yield run
    for name in ("refine", "refine.experiments", "refine.trainer"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)


def curves(tmp_path, name):
    whole = store.load(tmp_path / "results" / "refine" / name / "experiment.json")
    rows = {(run.arm, run.seed): [row["test_accuracy"] for row in run.rows] for run in whole.runs}
    return rows, {(run.arm, run.seed): run.facts for run in whole.runs}


def path_from(begin, rate, steps):
    """Where the weight is after each step; every number here is exact in float32."""
    found = []
    for _ in range(steps):
        begin += rate * (8 - begin)
        found.append(begin)
    return found


def test_an_arm_goes_on_from_the_run_of_the_same_seed(study, tmp_path):
    assert study("first", "--keep-weights")[0] == 0
    assert study("tune")[0] == 0
    rows, facts = curves(tmp_path, "tune")
    for seed in (0, 1):
        before = path_from(seed, 0.5, 3)[-1]
        assert rows["on", seed] == path_from(before, 0.25, 3)
        assert rows["anew", seed] == path_from(seed, 0.25, 3)
        parent = tmp_path / "results" / facts["on", seed]["start"]
        assert (parent / "weights.pt").exists()
        assert parent.name == f"seed-{seed}"
        assert "start" not in facts["anew", seed]


def test_missing_weights_are_an_error_with_the_command_that_makes_them(study, tmp_path):
    status, _, err = study("tune")
    assert status == 1
    command = "python -m refine first --arms base --seeds 0-0 --keep-weights"
    assert f"make them by `{command}`" in err
    assert not list(tmp_path.rglob("run.json"))  # said before anything trained, also of other arms
    assert study(*shlex.split(command)[3:])[0] == 0
    assert "--seeds 1-1 --keep-weights" in study("tune")[2]
    assert study("tune", "--seeds", "1")[0] == 0


def test_another_root_is_in_the_command(study, tmp_path):
    root = tmp_path / "other place"
    err = study("tune", "--results", str(root))[2]
    assert f"--keep-weights --results '{root}'`" in err


def test_a_run_on_record_without_its_weights_is_trained_elsewhere(study):
    assert study("first")[0] == 0
    err = study("tune")[2]
    assert "on record without them; train it in a folder of its own by `python -m refine" in err
    assert (
        study("first", "--arms", "base", "--seeds", "2", "--keep-weights", "--results", "new")[0]
        == 0
    )
    assert study("tune", "--results", "new")[0] == 0


def test_a_study_may_name_another_study(study, tmp_path):
    assert study("first", "--keep-weights")[0] == 0
    assert study("far")[0] == 0
    assert curves(tmp_path, "far")[0]["on", 1] == path_from(path_from(1, 0.5, 3)[-1], 0.5, 3)


def test_a_start_that_is_no_run_is_refused_in_words(study):
    assert "unknown arm of refine first 'bass': did you mean 'base'" in study("lost")[2]
    assert "start is (plan, arm) or (study, plan, arm)" in study("odd")[2]


def test_a_file_that_holds_something_else_is_never_run(study, tmp_path):
    """Read by weights_only: a pickle that would call something is refused."""

    class Call:
        def __reduce__(self):
            return print, ("called",)

    assert study("first", "--keep-weights")[0] == 0
    file = start.path("refine", "first", "base", 0, tmp_path / "results")
    torch.save({"state": Call()}, file)
    status, out, err = study("tune", "--seeds", "1")
    assert status == 2
    assert "is damaged" in err
    assert "called" not in out
