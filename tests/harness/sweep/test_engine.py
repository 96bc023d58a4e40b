"""The seam between a sweep and the place where its members run."""

import json
import os
import sys
from pathlib import Path

import pytest

from harness.sweep.crew import Crew
from harness.sweep.engine import Members, local
from harness.sweep.runner import Sweep
from harness.sweep.show import Events, Quiet
from tests.harness.sweep.test_runner import PLAN, Study, Walk, curves


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


def test_an_engine_of_another_kind_takes_the_place_of_processes(tmp_path):
    """One that runs its two members in this process, one after the other, without a pipe."""
    study = Study("walk", "smoke", PLAN, Path(tmp_path / "crew"))
    asked, live, told = [], [], Told()

    class Handed(Events):
        def __init__(self, hear):
            self.hear = hear

        def _tell(self, *event):
            self.hear(json.loads(json.dumps(event)))

    def in_this_process(members, hear):
        asked.append(members)
        for _ in range(members.size):
            Sweep(study, Walk(), (0, 1), ("a", "b"), Handed(hear)).run()
        return 0

    crew = Crew(study, 2, 3, told, lambda runs: live.append(len(runs)), in_this_process)
    assert crew.run(["what", "to", "start"]) == 0
    (members,) = asked
    assert members.argv == ["what", "to", "start"]
    assert members.env["OMP_NUM_THREADS"] == "3"
    assert members.env["IDDL_MEMBER"] == "1"
    epochs = [("rows", arm, (0, 1), [k + 1] * 2) for arm in "ab" for k in range(6)]
    expected = []
    for arm in "ab":  # (the second member finds nothing left to do)
        expected += [("begin", arm, (0, 1), 6, 0), *(e for e in epochs if e[1] == arm)]
        expected += [("end", arm, (0, 1), "")]
    assert told.seen == expected
    assert live == [2] * 12
    alone = Study("walk", "smoke", PLAN, Path(tmp_path / "alone"))
    assert curves(study.collect()) == curves(
        Sweep(alone, Walk(), (0, 1), ("a", "b"), Quiet()).run()
    )


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
    assert local(members, heard.append) == 3
    assert sorted(heard) == [["tests", k] for k in (0, 0, 1, 1, 2, 2)]
    assert capsys.readouterr().err.count("a hint") == 1
    assert "MEMBER_OF" not in os.environ


def test_what_cannot_be_shown_is_raised_after_all_members_have_ended():
    heard = []

    def hear(event):
        heard.append(event)
        raise KeyError("no such arm")

    members = Members([sys.executable, "-c", SPEAK, "0"], 1, {"MEMBER_OF": "tests"})
    with pytest.raises(KeyError, match="no such arm"):
        local(members, hear)
    assert len(heard) == 3
