"""The real study in real processes: killed, interrupted, shared, and seen on a terminal."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.record import store
from tests.tree import ROOT

TIMES = ("group_time", "train_time", "inference_time")


def curves(experiment):
    return {
        (run.arm, run.seed): [{k: v for k, v in row.items() if k not in TIMES} for row in run.rows]
        for run in experiment.runs
    }


ARGS = ["smoke", "--arms", "B-MLP-3-1", "R-MLP-3-2", "--seeds", "3", "--epochs", "40", "--quiet"]
ARGS += ["--checkpoint-every", "0"]


def start(results, *more, **options):
    argv = [sys.executable, "-m", "mlp", *ARGS, "--results", str(results), *more]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # two with two threads each would only spin
    return subprocess.Popen(argv, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, **options)


def final(results):
    path = results / "mlp" / "smoke" / "epochs-40" / "experiment.json"
    return curves(store.load(path)) if path.exists() else {}


def lines_so_far(results):
    return sum(len(p.read_bytes().splitlines()) for p in results.rglob("metrics.jsonl"))


def kill_after_some_rows(process, results, how, rng):
    """Wait for training to be under way, then a random moment more."""
    before, end = lines_so_far(results), time.monotonic() + 60
    while lines_so_far(results) <= before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(rng.random() * 0.2)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    results = tmp_path_factory.mktemp("uninterrupted")
    with start(results, "--jobs", "1") as process:
        assert process.wait(120) == 0
    return final(results)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_moments_then_resumed(tmp_path, uninterrupted, how):
    rng = random.Random(int(how))
    for _ in range(2):
        code, errors = kill_after_some_rows(start(tmp_path, "--jobs", "1"), tmp_path, how, rng)
        if how == signal.SIGINT and code != 0:
            assert code == 130
            assert "up to its last checkpoint. Go on with: python -m mlp smoke --arms" in errors
            assert "Traceback" not in errors
    with start(tmp_path, "--jobs", "1") as process:
        assert process.wait(120) == 0
    assert final(tmp_path) == uninterrupted


@pytest.mark.slow
def test_two_calls_share_one_sweep(tmp_path, uninterrupted):
    both = [start(tmp_path, "--jobs", "1") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    with start(tmp_path, "--jobs", "1") as process:
        assert process.wait(60) == 0
    assert final(tmp_path) == uninterrupted


@pytest.mark.slow
def test_a_crew_and_what_is_left_of_it(tmp_path, uninterrupted):
    """Killed with its members in mid-run, resumed, and the same to rounding (threads differ)."""
    process = start(tmp_path, "--jobs", "2")
    members = children_when_training(process, tmp_path)
    assert len(members) == 2
    process.kill()
    process.communicate(timeout=30)
    end = time.monotonic() + 30
    while any(alive(pid) for pid in members) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in members)
    process = start(tmp_path, "--jobs", "2")
    children_when_training(process, tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    with start(tmp_path, "--jobs", "2") as process:
        assert process.wait(120) == 0
    got = final(tmp_path)
    assert set(got) == set(uninterrupted)
    for key, rows in uninterrupted.items():
        assert got[key][-1]["train_loss"] == pytest.approx(rows[-1]["train_loss"], rel=1e-3)


@pytest.mark.slow
def test_what_killed_members_had_in_hand_is_started_again(tmp_path, uninterrupted):
    process = start(tmp_path, "--jobs", "2")
    for pid in children_when_training(process, tmp_path):
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert ": starting it again" in errors
    got = final(tmp_path)
    assert set(got) == set(uninterrupted)
    for key, rows in uninterrupted.items():
        assert got[key][-1]["train_loss"] == pytest.approx(rows[-1]["train_loss"], rel=1e-3)


@pytest.mark.slow
def test_what_kills_its_members_each_time_fails_and_is_no_success(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "def die(*words): os.kill(os.getpid(), signal.SIGKILL)\n"
        "if os.environ.get('IDDL_MEMBER'):\n"
        "    import harness.record.store as store\n"
        "    store.append_row = die\n"
    )
    argv = [sys.executable, "-m", "examples.wine", "smoke", "--jobs", "2", "--seeds", "1"]
    argv += ["--results", str(tmp_path / "results"), "--quiet", "--no-figures"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.count("starting it again") == 4  # two groups, twice each
    words = "started 3 times without a new epoch; the last time: its process ended with SIGKILL"
    assert f"failed: scaled seed 0: {words}" in done.stderr
    assert f"failed: raw seed 0: {words}" in done.stderr
    assert "Traceback" not in done.stderr


DIES = """
import os, signal
from pathlib import Path
here = Path(__file__).parent
if os.environ.get("IDDL_MEMBER") and len(list(here.glob("died-*"))) < {times}:
    (here / f"died-{{os.getpid()}}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("times", "starts", "status"), [(2, 2, 0), (99, 4, 1)])
def test_members_that_die_while_they_start_up_are_started_again(tmp_path, times, starts, status):
    (tmp_path / "sitecustomize.py").write_text(DIES.format(times=times))
    argv = [sys.executable, "-m", "examples.wine", "smoke", "--jobs", "2", "--seeds", "1"]
    argv += ["--results", str(tmp_path / "results"), "--quiet", "--no-figures"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    assert done.stderr.count("starting it again") == starts
    words = "started 3 times without a new epoch; the last time: its process ended with SIGKILL"
    assert (f"failed: raw seed 0: {words}" in done.stderr) == bool(status)
    assert "not done" not in done.stderr
    assert "Traceback" not in done.stderr


def test_bars_on_a_terminal(tmp_path):
    """A terminal of its own: the bars draw, and Ctrl-C in the middle leaves it in order."""
    import pty

    parent, child = pty.openpty()
    argv = [sys.executable, "-m", "mlp", "smoke", "--arms", "MLP-3-1", "--epochs", "3"]
    argv += ["--results", str(tmp_path)]
    env = {**os.environ, "TERM": "xterm"}  # (started by cron or an editor, there may be none)
    options = dict(stdout=subprocess.DEVNULL, stderr=child)
    with subprocess.Popen(argv, cwd=ROOT, env=env, **options) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                shown += os.read(parent, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait(60) == 0
    os.close(parent)
    assert b"all arms" in shown
    assert b"MLP-3-1 seeds 0-4" in shown
    assert b"Traceback" not in shown


def children_when_training(process, results):
    before, end = lines_so_far(results), time.monotonic() + 60
    while lines_so_far(results) <= before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    path = Path(f"/proc/{process.pid}/task")
    found = []
    for task in path.iterdir() if path.exists() else ():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
