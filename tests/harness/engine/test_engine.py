"""The seam between a sweep and the place where its members run."""

import contextlib
import io
import itertools
import json
import os
import sys

import pytest

from examples.wine.experiments import PLANS
from harness.cli import main
from harness.engine import ENGINES
from harness.engine.local import Local
from harness.engine.protocol import Members, say_once
from harness.record import store
from harness.result import report
from harness.sweep import launch
from harness.sweep.show import Quiet
from tests.harness.sweep.test_runner import curves


class Told(Quiet):
    """Keeps what people would see."""

    def __init__(self):
        self.seen = []

    def begin(self, arm, seeds, epochs, job):
        self.seen.append(("begin", arm, tuple(seeds), epochs, job.saved["epochs"]))

    def rows(self, arm, seeds, rows):
        self.seen.append(("rows", arm, tuple(seeds), [row["epoch"] for row in rows]))

    def end(self, arm, seeds, note=""):
        self.seen.append(("end", arm, tuple(seeds), note))


class Ears(io.StringIO):
    """A stdout whose lines are heard at once, as an engine hears those of its members."""

    def __init__(self, hear):
        super().__init__()
        self.hear = hear

    def write(self, text):
        if text.strip():
            self.hear(json.loads(text))
        return len(text)


class InThisProcess:
    """Runs its members here, one after the other, and knows of devices that this machine lacks."""

    def __init__(self, monkeypatch):
        self.patch, self.asked, self.members = monkeypatch, [], []

    def device(self, name, gpus=0):
        self.asked.append(name)
        return "cuda"

    def share(self, jobs, threads, groups):
        self.asked.append((jobs, threads, groups))
        return 2, 3

    def __call__(self, members, hear):
        self.members.append(members)
        python, _, folder, *argv = members.argv
        assert python == sys.executable
        with self.patch.context() as patch, contextlib.redirect_stdout(Ears(hear)):
            for name, value in members.env.items():
                patch.setenv(name, value)
            patch.setattr(launch, "pick_device", {"cuda": "cpu"}.get)  # where members are
            return max(main(PLANS, folder, None, argv) for _ in range(members.size))


def test_an_engine_of_another_kind_is_chosen_by_its_name_and_asked_for_all(tmp_path, monkeypatch):
    words = ["smoke", "--seeds", "2", "--epochs", "3", "--arms", "scaled", "raw", "--quiet"]
    alone = ["--results", str(tmp_path / "alone"), "--jobs", "1"]
    assert main(PLANS, "examples.wine", None, [*words, *alone]) == 0  # (sets one thread)
    engine, told, live = InThisProcess(monkeypatch), Told(), []
    monkeypatch.setitem(ENGINES, "here", engine)
    monkeypatch.setattr(launch, "make_show", lambda *words: told)
    monkeypatch.setattr(report, "Live", lambda study: lambda runs: live.append(len(runs)))
    for name in ("engine.local.cores_here", "engine.local.pick_device", "sweep.launch.pick_device"):
        monkeypatch.setattr(f"harness.{name}", None)  # nobody asks this machine
    argv = [*words, "--results", str(tmp_path / "crew"), "--engine", "here", "--device", "cuda:7"]
    assert main(PLANS, "examples.wine", None, [*argv, "--jobs", "5"]) == 0
    assert engine.asked == ["cuda:7", (5, None, 4)]  # (threads are the CPU's)
    (members,) = engine.members
    known = ["--jobs", "1", "--device", "cuda"]
    assert members.argv[1:] == ["-m", "examples.wine", *argv, "--jobs", "5", *known]
    assert members.env["OMP_NUM_THREADS"] == "3"
    assert members.env["IDDL_MEMBER"] == "1"
    expected = []
    for arm, seed in itertools.product(("scaled", "raw"), (0, 1)):  # (nothing left for the second)
        expected += [("begin", arm, (seed,), 3, 0)]
        expected += [("rows", arm, (seed,), [k]) for k in (1, 2, 3)] + [("end", arm, (seed,), "")]
    assert told.seen == expected
    assert live == [1] * 12
    crew, one = ((tmp_path / name).rglob("experiment.json") for name in ("crew", "alone"))
    assert curves(store.load(next(crew))) == curves(store.load(next(one)))


def test_an_engine_that_is_unknown_is_told_with_the_near_one(tmp_path, capsys):
    argv = ["smoke", "--engine", "lokal", "--results", str(tmp_path / "mine")]
    assert main(PLANS, "examples.wine", None, argv) == 2
    said = "error: unknown engine 'lokal': did you mean 'local'? there are local, slurm, ray\n"
    assert capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cores", "jobs", "threads", "groups", "expected"),
    [
        (8, 0, 2, 60, (4, 2)),  # what the cores carry
        (8, 0, 2, 3, (3, 2)),  # no more than there is to do
        (8, 0, None, 60, (0, 0)),  # one after the other, here, by all cores
        (2, 0, 4, 60, (0, 0)),
        (8, 3, None, 60, (3, 2)),  # as asked
        (2, 5, None, 60, (5, 1)),
        (8, 1, 1, 60, (0, 0)),
        (8, 5, 1, 1, (0, 0)),
    ],
)
def test_local_members_share_the_cores(cores, jobs, threads, groups, expected, monkeypatch):
    monkeypatch.setattr("harness.engine.local.cores_here", lambda: cores)
    assert Local().share(jobs, threads, groups) == expected


SPEAK = """
import json, os, sys
for k in range(3):
    print(json.dumps([os.environ["MEMBER_OF"], k]), flush=True)
print("a hint", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


def test_local_members_are_heard_in_order_and_their_words_are_said_once(capsys):
    heard = []
    members = Members([sys.executable, "-c", SPEAK, "3"], 2, {"MEMBER_OF": "tests"})
    assert Local()(members, heard.append) == 3
    assert sorted(heard) == [["tests", k] for k in (0, 0, 1, 1, 2, 2)]
    assert capsys.readouterr().err.count("a hint") == 1
    assert "MEMBER_OF" not in os.environ


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("os.kill(os.getpid(), 9)", [["died", "a hint"]]),
        ("sys.exit(3)", []),
        (
            'print(\'["refused", "no", false]\', flush=True); os.kill(os.getpid(), 9)',
            [["refused", "no", False]],
        ),
    ],
)
def test_a_member_that_dies_with_nothing_in_hand_is_told(how, expected):
    """One that ends by itself has said why."""
    heard, hint = [], "import os, sys; print('a hint', file=sys.stderr, flush=True)"
    Local()(Members([sys.executable, "-c", f"{hint}; {how}"], 1, {}), heard.append)
    assert heard == expected


def test_what_cannot_be_shown_is_raised_after_all_members_have_ended():
    heard = []

    def hear(event):
        heard.append(event)
        raise KeyError("no such arm")

    members = Members([sys.executable, "-c", SPEAK, "0"], 1, {"MEMBER_OF": "tests"})
    with pytest.raises(KeyError, match="no such arm"):
        Local()(members, hear)
    assert len(heard) == 3


def test_who_is_interrupted_while_it_imports_says_nothing(capsys):
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyboardInterrupt\n'
    say_once([f"a hint\n{trace}", trace, "interrupted; what is done is kept"])
    assert capsys.readouterr().err == "a hint\n"
