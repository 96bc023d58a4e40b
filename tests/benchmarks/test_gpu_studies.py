"""Studies that fit a borrowed card: rounds, their limits, and what comes home."""

import importlib
import itertools
import sys
import tarfile

import pytest

from benchmarks.gpu import studies


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with some results; commands are programs of Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(studies, "words", lambda program: [sys.executable, "-c", program])
    run = tmp_path / "results" / "parallel" / "smoke" / "arm" / "seed-0"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "checkpoint.pt").write_bytes(b"large")
    return tmp_path


def rounds(monkeypatch, *found):
    monkeypatch.setattr(studies, "LINES", {"line": found})


def test_the_plan_names_every_command_and_runs_nothing(capsys):
    for name, line in studies.LINES.items():
        assert studies.main([name, "--plan"]) == 0
        out = capsys.readouterr().out
        for one in line:
            assert all(command in out for command in one.commands)
        assert f"at most {sum(one.seconds for one in line)} s together" in out


def test_commands_name_plans_and_arms_that_are_there():
    for command in (c for line in studies.LINES.values() for one in line for c in one.commands):
        study, plan, *words = command.split()
        arms = importlib.import_module(f"{study}.experiments").PLANS[plan].arms
        if "--arms" in words:
            after = words[words.index("--arms") + 1 :]
            named = list(itertools.takewhile(lambda word: not word.startswith("--"), after))
            assert named
            assert set(named) <= set(arms)


def test_each_line_fits_a_call_of_ten_minutes():
    for line in studies.LINES.values():
        assert sum(one.seconds + 2 * studies.PATIENCE for one in line) <= 620


def test_commands_of_a_round_run_side_by_side_and_records_come_home(place, monkeypatch):
    meets = "import pathlib,time; pathlib.Path({!r}).touch()\n"
    meets += "while not pathlib.Path({!r}).exists(): time.sleep(.01)"
    both = meets.format("a", "b"), meets.format("b", "a")
    rounds(monkeypatch, studies.Round(60, both))
    assert studies.main(["line", "--out", "home"]) == 0
    with tarfile.open(place / "home" / "results.tar.gz") as archive:
        assert archive.getnames() == ["results/parallel/smoke/arm/seed-0/run.json"]


def test_ctrl_c_leaves_no_training_behind_and_brings_home_what_is_done(place, monkeypatch):
    wait, started = studies.wait, []

    def interrupted(process, until):
        started.append(process)
        if len(started) == 1:
            raise KeyboardInterrupt
        return wait(process, until)

    monkeypatch.setattr(studies, "wait", interrupted)
    rounds(monkeypatch, studies.Round(60, ("import time; time.sleep(600)",)))
    with pytest.raises(KeyboardInterrupt):
        studies.main(["line", "--out", "home"])
    assert started[0].poll() is not None
    assert (place / "home" / "results.tar.gz").exists()


def test_what_takes_too_long_is_interrupted_as_by_hand_and_the_rest_goes_on(
    place, monkeypatch, capsys
):
    slow = "import time,sys\ntry: time.sleep(600)\nexcept KeyboardInterrupt: print('kept'); sys.exit(3)"
    late = "open('next', 'w')"
    # (a second is enough for Python to reach the sleep or not: an interrupt ends it either way)
    rounds(monkeypatch, studies.Round(5, (slow,)), studies.Round(60, (late,)))
    assert studies.main(["line", "--out", "home"]) == 1
    assert (place / "next").exists()
    assert "status 0" in capsys.readouterr().out
