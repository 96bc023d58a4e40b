"""What is said to Slurm, and what is understood of it, without a cluster."""

import os
import shlex
import stat
from dataclasses import replace

import pytest

from examples.wine.experiments import PLANS
from harness.cli import main
from harness.engine import guest
from harness.engine.protocol import Members, Needs, Place
from harness.engine.slurm import Slurm, _Watch
from harness.engine.slurm_job import Job, script
from harness.record.study import Study

MEMBERS = Members(["python", "-m", "mlp", "smoke"], 7, {"IDDL_MEMBER": "1", "WORDS": "a 'b' $c"})


def test_the_script_asks_for_what_a_group_needs(tmp_path):
    place = Place(partition="long", time="2:00:00", slurm="--account=me --constraint=avx512")
    members = replace(MEMBERS, needs=Needs(4, 7.5, 1), place=place)
    text = script(tmp_path, members, {"IDDL_ENGINE": "slurm"})
    asked = " ".join(x.removeprefix("#SBATCH ") for x in text.splitlines() if x[:7] == "#SBATCH")
    for word in (
        "--array=0-6", "--requeue", "--cpus-per-task=4", "--mem=7680M", "--gpus-per-task=1",
        "--partition=long", "--time=2:00:00", "--account=me --constraint=avx512",
        "--open-mode=append",
    ):  # fmt: skip
        assert word in asked, word


def run(text, tmp_path, task):
    path = tmp_path / "script"
    path.write_text(text)
    env = {**os.environ, "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": str(task)}
    import subprocess

    return subprocess.run(["sh", str(path)], env=env, capture_output=True, text=True, timeout=60)


def test_the_script_runs_the_command_and_keeps_how_it_ended(tmp_path):
    members = Members(["sh", "-c", 'echo "$WORDS"; exit 3'], 1, {"WORDS": "a 'b' $c"})
    done = run(script(tmp_path, members, {}), tmp_path, 4)
    assert done.stdout.split("\n") == ["", "a 'b' $c", ""]
    assert (tmp_path / "5-4.exit").read_text() == "3\n"


def test_one_task_for_each_training_unless_jobs_are_said():
    slurm = Slurm()
    assert slurm.share(0, 2, 60) == (60, 2)
    assert slurm.share(8, None, 60) == (8, 1)
    assert slurm.share(8, None, 3) == (3, 1)
    assert slurm.share(0, None, 5000) == (1000, 1)
    assert slurm.device("auto") == "cpu"
    assert slurm.device("auto", gpus=1) == "cuda"
    assert slurm.device("cuda:1") == "cuda:1"


def call(tmp_path, *words):
    return main(PLANS, "examples.wine", None, ["smoke", *words, "--results", str(tmp_path / "r")])


def test_no_slurm_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call(tmp_path, "--engine", "slurm") == 1
    said = capsys.readouterr().err
    assert "no sbatch on this machine; type the command where you submit jobs" in said


def test_no_ray_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harness.engine.ray_cluster.find_spec", lambda name: None)
    assert call(tmp_path, "--engine", "ray") == 2
    assert "ray is not installed; type: pip install 'iddl[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("127.0.0.1:1", 1, "no Ray cluster at 127.0.0.1:1 (Connection refused): start one by ray"),
        ("here", 2, "--ray-address got 'here'; expected HOST:PORT"),
        ("here:there", 2, "--ray-address got 'here:there'; expected HOST:PORT"),
    ],
)
def test_no_cluster_there(address, code, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harness.engine.ray_cluster.find_spec", lambda name: True)
    words = ["--engine", "ray", "--ray-open", "--ray-address", address]
    assert call(tmp_path, *words) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "slrm"], "unknown engine 'slrm': did you mean 'slurm'?"),
        (["--partition", "long"], "--partition is for --engine slurm, and the engine is local"),
        (["--engine", "ray", "--time", "2:00"], "--time is for --engine slurm, and the engine is"),
        (["--engine", "slurm", "--ray-open"], "--ray-open is for --engine ray, and the engine is"),
    ],
)
def test_wrong_words(tmp_path, capsys, words, said):
    assert call(tmp_path, *words) == 2
    assert said in capsys.readouterr().err


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_job_whose_tasks_left_no_word_is_no_success(tmp_path, monkeypatch, capsys):
    programs = tmp_path / "programs"
    programs.mkdir()
    program(programs, "sbatch", "echo 12")
    program(
        programs, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    )
    program(programs, "scancel", "exit 0")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("harness.engine.slurm.POLL", 0.02)
    monkeypatch.setattr("harness.engine.slurm_job.POLL", 0.02)
    assert call(tmp_path, "--engine", "slurm", "--arms", "raw", "--seeds", "1") == 1
    said = capsys.readouterr().err
    assert "not done" in said
    desk = tmp_path / "r" / "examples.wine" / "smoke" / ".slurm"
    assert f"task 0 of Slurm's job 12 left no word in {desk}: is that folder on its" in said
    assert "`scontrol show job 12_0` says how it ended" in said


def test_only_tasks_that_left_no_word_are_asked_about(at_work, monkeypatch, capsys):
    monkeypatch.setattr("harness.engine.slurm.POLL", 0.02)
    members = Members(["x"], 4, {}, at_work)
    job = Job.submit(at_work.out / ".slurm", members, {})
    job.cancel()
    (job.desk / "12-0.events").write_text("\n")  # (it has begun)
    (job.desk / "12-2.log").write_text("slurmstepd: error: no such folder\n")
    assert _Watch(job, members, print).run() == 1
    said = capsys.readouterr().err
    assert "task 1 of Slurm's job 12 left no word in" in said
    assert f"{job.desk}, nor did 1 more: is that folder" in said
    assert _Watch(job, replace(members, over=lambda: True), print).run() == 0
    assert "left no word" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("events", "code", "expected"),
    [
        ("\n", "", [["died", "its machine was lost"]]),
        ("\n", "137", [["died", "its machine was lost"]]),
        ("\n", "143", []),  # scancel, or its time
        ("\n", "130", []),
        ("\n", "1", []),  # it has said why
        ("", "", []),  # it has not begun: see above
    ],
)
def test_a_task_that_died_with_nothing_in_hand_is_told(
    at_work, monkeypatch, events, code, expected
):
    monkeypatch.setattr("harness.engine.slurm.POLL", 0.02)
    heard, members = [], Members(["x"], 1, {}, at_work)
    job = Job.submit(at_work.out / ".slurm", members, {})
    job.cancel()
    (job.desk / "12-0.events").write_text(events)
    (job.desk / "12-0.exit").write_text(code)
    assert _Watch(job, members, heard.append).run() == int(code or 1)
    assert heard == expected


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """A cluster whose job 12 is submitted, and then at work until somebody cancels it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    there = shlex.quote(str(tmp_path / "there"))
    program(programs, "sbatch", f"touch {there}; echo 12")
    program(programs, "squeue", f"if [ -e {there} ]; then echo '12_0 RUNNING'; fi")
    program(programs, "scancel", f"rm -f {there}")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Study("examples.wine", "smoke", PLANS["smoke"], tmp_path)


def test_another_command_does_not_look_in_on_a_job_that_is_not_its_own(at_work, monkeypatch):
    first = Members(["python", "-m", "x", "--arms", "raw", "--detach"], 1, {}, at_work)
    desk = at_work.out / ".slurm"
    job = Job.submit(desk, first, {})
    same = Job.found(desk, replace(first, argv=[*first.argv[:-1], "--quiet"]))
    assert same is not None
    assert same.number == job.number
    other = replace(first, argv=["python", "-m", "x", "--arms", "scaled"])
    said = r"job 12 is at work .*another command: '-m x --arms raw'.*scaled.*scancel 12"
    with pytest.raises(ValueError, match=said):
        Job.found(desk, other)
    monkeypatch.setattr(guest, "program", lambda: {"torch": "2.6"})
    with pytest.raises(ValueError, match=r"another code: .*here it is 'torch 2.6'"):
        Job.found(desk, first)
    job.cancel()
    assert Job.found(desk, other) is None
