"""A study on two real Ray nodes of which one is taken away: the record is the local one."""

import os
import signal
import time

import pytest

from tests.harness.engine import ray_nodes, study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ray_nodes.HERE, reason="needs iddl[ray]"),
]
ENGINE = ("--engine", "ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with study.running(ray_nodes.Nodes(tmp_path_factory.mktemp("ray"))) as found:
        yield found


def in_hand(results):
    """Whether a group is under way of which this side has a checkpoint."""
    return study.groups_done(results) >= 2 and bool(list(results.rglob("group-*.pt")))


MOMENTS = {
    "before the first row": lambda results: True,
    "in the middle": in_hand,
    "in the last epochs": lambda results: study.groups_done(results) >= study.GROUPS - 1,
}


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if "middle" in m else study.LONG) for m in MOMENTS]
)
def test_nodes_that_die_change_nothing(cluster, expected, tmp_path, moment):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, env=cluster.env) as process:
        study.wait_for(lambda: MOMENTS[moment](results), process, results)
        study.wait_for(lambda: cluster.busy("n1") or cluster.busy("n2"), process, results)
        for node in ("n1", "n2"):  # (both: which of them has the group is Ray's business)
            cluster.kill(node)
        for node in ("n1", "n2"):
            cluster.revive(node)
        assert process.wait(400) == 0, study.words(results)
    said = study.words(results)
    assert "its machine was lost" in said
    assert "starting it again" in said
    assert study.exact(results) == expected
    assert said.count(" done in ") == study.GROUPS
    assert not study.members_left("iddl-")


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=study.LONG)])
def test_a_driver_that_dies_leaves_nobody_and_goes_on_when_called_again(
    cluster, expected, tmp_path, how
):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, env=cluster.env) as process:
        study.wait_for(lambda: study.groups_done(results) >= 2, process, results)
        process.send_signal(how)
        assert process.wait(90) in (-9, 130), study.words(results)
    end = time.monotonic() + 60
    while study.members_left("iddl-") and time.monotonic() < end:
        time.sleep(0.2)
    assert not study.members_left("iddl-")
    assert "Traceback" not in study.words(results)
    with study.start(results, *ENGINE, env=cluster.env) as process:
        assert process.wait(300) == 0, study.words(results)
    assert study.exact(results) == expected


FULL = """
import errno, os
from pathlib import Path
def full(path, content, real=__import__("harness.record.store", fromlist=["write"]).write):
    if Path(path).name == "run.json" and len(list(Path(path).parents[2].rglob("run.json"))) > 4:
        raise OSError(errno.ENOSPC, f"could not write {path}: No space left on device")
    return real(path, content)
if "IDDL_MEMBER" not in os.environ and "mlp" in " ".join(os.sys.orig_argv):
    __import__("harness.record.store", fromlist=["write"]).write = full
"""


def test_a_disk_that_is_full_at_the_driver_loses_nothing(cluster, expected, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FULL)
    results = tmp_path / "results"
    env = {**cluster.env, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    with study.start(results, *ENGINE, env=env) as process:
        assert process.wait(300) == 1, study.words(results)
    assert "No space left on device" in study.words(results)
    assert "Traceback" not in study.words(results)
    kept = study.groups_done(results)
    assert kept >= 2
    with study.start(results, *ENGINE, env=cluster.env) as process:
        assert process.wait(300) == 0, study.words(results)
    assert study.exact(results) == expected


def test_a_cluster_without_a_token_is_refused(cluster, tmp_path):
    results = tmp_path / "results"
    env = {**cluster.env, "RAY_AUTH_MODE": "disabled"}
    with study.start(results, *ENGINE, env=env) as process:
        assert process.wait(60) == 2, study.words(results)
    assert "or type --ray-open if its network is yours alone" in study.words(results)
