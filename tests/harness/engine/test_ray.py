"""What the Ray engine makes of what its tasks do, with a Ray that runs them where they are asked for."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from examples.wine.experiments import PLANS
from harness.engine import parcel, ray, ray_cluster
from harness.engine.protocol import Members, Needs
from harness.experiment import DONE, Run
from harness.record import store
from harness.record.study import Study

GROUP = ("raw", (0, 1))


class RayError(Exception):
    """As Ray says that a machine was lost."""


class RayTaskError(RayError):
    """As Ray says that the task itself has failed."""


class Here:
    """A Ray whose tasks are a list of what each yields; an exception among it is raised."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *yields):
        self.yields, self.sent, self.cancelled = yields, [], 0
        self.chosen = []  # options of each task
        self.machines = [
            {"NodeID": name, "Alive": True, "Resources": {"CPU": 2.0}} for name in ("n1", "n2")
        ]

    def nodes(self):
        return self.machines

    def remote(self, *words):
        if len(words) == 1:  # (the function, as @ray.remote has it)
            return self
        self.sent.append(words)
        return iter(self.yields)

    def options(self, **words):
        self.chosen.append(words)
        return self

    def get(self, item):
        if isinstance(item, Exception):
            raise item
        return item

    def cancel(self, task):
        self.cancelled += 1

    def shutdown(self):
        pass


def event(*words):
    return parcel.EVENT, json.dumps(words).encode()


BEGIN, END = event("begin", "raw", [0, 1], 4, 0), (parcel.ENDED, b"0\n")


@pytest.fixture
def study(tmp_path):
    return Study("examples.wine", "smoke", PLANS["smoke"], tmp_path)


def run(study, monkeypatch, *yields, cluster=None):
    """Send one group out; returns what was sent, what was heard, and how it ended."""
    cluster, heard = cluster or Here(*yields), []
    monkeypatch.setattr(ray, "connect", lambda address, is_open: cluster)
    code = ray.Ray()(Members(["python", "-m", "x"], 1, {}, study, [GROUP]), heard.append)
    return [words[0] for words in cluster.sent], heard, code


def done_before(study, seed):
    """Another process has trained this run since the groups were dealt out."""
    store.save_run(Run("raw", seed, "key", {}, status=DONE), study.seed_dir("raw", seed))


def test_a_group_is_sent_as_the_same_command(study, monkeypatch):
    sent, heard, code = run(study, monkeypatch, BEGIN, event("end", "raw", [0, 1], ""), END)
    assert sent == [["-m", "x", "--arms", "raw", "--seeds", "0,1,"]]
    assert [words[0] for words in heard] == ["begin", "end"]
    assert code == 0


def test_what_was_done_meanwhile_is_not_sent(study, monkeypatch):
    done_before(study, 0)
    sent, _, code = run(study, monkeypatch, END)
    assert (sent, code) == ([["-m", "x", "--arms", "raw", "--seeds", "1,"]], 0)
    done_before(study, 1)
    assert run(study, monkeypatch, END) == ([], [], 0)


def test_what_another_process_holds_is_not_sent(study, monkeypatch):
    with store.claim(study.seed_dir("raw", 1)):
        sent, _, _ = run(study, monkeypatch, END)
    assert sent == [["-m", "x", "--arms", "raw", "--seeds", "0,"]]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RayError("node 7"), "RayError: its machine was lost"),
        (RayTaskError("Traceback\n  File\nModuleNotFoundError: no torch\n"), "no torch"),
    ],
)
def test_a_lost_group_is_told_with_the_reason(study, monkeypatch, capsys, error, words):
    _, heard, code = run(study, monkeypatch, BEGIN, error)
    kind, arm, seeds, said, died = heard[-1]
    assert (kind, arm, seeds, died, code) == ("lost", "raw", [0, 1], True, 1)
    assert words in said
    assert words in capsys.readouterr().err


def test_a_member_that_ended_by_itself_has_not_died(study, monkeypatch):
    _, heard, code = run(study, monkeypatch, BEGIN, (parcel.ENDED, b"2\nno such file: x\n"))
    assert heard[-1] == ["lost", "raw", [0, 1], "no such file: x", False]
    assert code == 2


def test_a_file_that_is_not_of_the_arm_ends_all_tasks(study, monkeypatch):
    cluster = Here(BEGIN, ("examples.wine/smoke/../x", b"1"), END)
    with pytest.raises(ValueError, match="no file of raw"):
        run(study, monkeypatch, cluster=cluster)
    assert cluster.cancelled == 1


def test_a_group_whose_machine_died_before_it_began_is_lost_too(study, monkeypatch):
    _, heard, code = run(study, monkeypatch, RayError("node 7"))
    assert heard == [["lost", "raw", [0, 1], "RayError: its machine was lost", True]]
    assert code == 1
    assert run(study, monkeypatch, END)[1:] == ([], 0)  # (it found nothing to do)


class InTurn(Here):
    """A Ray whose next task yields what is next."""

    def remote(self, *words):
        if len(words) == 1:
            return self
        self.sent.append(words)
        return iter(self.yields[len(self.sent) - 1])


def refused(node):
    there = f"{node} has torch 2.5 (the driver: 2.6)"
    return (ray.NODE, node.encode()), event("refused", there, False), END


def test_what_a_machine_refuses_another_is_sent(study, monkeypatch):
    trained = ((ray.NODE, b"n2"), BEGIN, event("end", "raw", [0, 1], ""), END)
    cluster = InTurn(refused("n1"), trained)
    sent, heard, code = run(study, monkeypatch, cluster=cluster)
    assert sent[0] == sent[1]
    assert [words[0] for words in heard] == ["refused", "begin", "end"]
    assert code == 0
    assert "label_selector" not in cluster.chosen[0]
    assert cluster.chosen[1]["label_selector"] == {"ray.io/node-id": "!in(n1)"}


def test_where_all_machines_refuse_the_study_fails(study, monkeypatch):
    cluster = InTurn(refused("n1"), refused("n2"))
    sent, heard, code = run(study, monkeypatch, cluster=cluster)
    assert (len(sent), [words[0] for words in heard], code) == (2, ["refused"] * 2, 1)


def test_needs_that_no_machine_can_meet_are_said(study, monkeypatch, capsys):
    """Ray waits for such a machine, and an autoscaler may bring one."""
    cluster = Here(END)
    monkeypatch.setattr(ray, "connect", lambda address, is_open: cluster)
    large = Members(["python"], 1, {}, study, [GROUP], Needs(cores=2, gpus=1))
    ray.Ray()(large, print)
    said = capsys.readouterr().err
    assert "a group needs 2 CPU, 1 GPU; the largest machine of the Ray cluster has 2 CPU" in said
    assert "0 GPU: waiting for another to join" in said
    ray.Ray()(Members(["python"], 1, {}, study, [GROUP], Needs(cores=2)), print)
    assert "waiting" not in capsys.readouterr().err


def test_an_address_of_ipv6_is_knocked_at_without_its_brackets(monkeypatch):
    met = []
    monkeypatch.setattr(
        ray_cluster.socket,
        "create_connection",
        lambda where, timeout: met.append(where) or SimpleNamespace(close=str),
    )
    ray_cluster._knock("[::1]:6379")
    assert met == [("::1", 6379)]


@pytest.fixture
def left(tmp_path, monkeypatch):
    """What `ray start` has left in a folder of its own; no node of Ray is at work here."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray_cluster, "_nodes", set)
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray" / "ray_current_cluster"


@pytest.mark.parametrize("address", [None, "auto"])
def test_a_cluster_that_was_killed_is_told_at_once_though_nobody_has_named_it(left, address):
    """Ray itself would try its address for minutes."""
    left.write_text("127.0.0.1:1\n")
    words = "no Ray cluster at 127.0.0.1:1 (Connection refused), which "
    with pytest.raises(OSError, match=re.escape(f"{words}{left} names: start one by ray start")):
        ray_cluster._knock(address)
    left.write_text("garbage")
    with pytest.raises(ValueError, match="ray_current_cluster got 'garbage'; expected HOST:PORT"):
        ray_cluster._knock(address)
    left.unlink()
    ray_cluster._knock(address)  # (Ray says so itself, and is quick)


def test_a_cluster_at_work_here_counts_before_an_address_that_was_left(left, monkeypatch):
    left.write_text("127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as at_work:
        here = f"127.0.0.1:{at_work.getsockname()[1]}"
        monkeypatch.setattr(ray_cluster, "_nodes", lambda: {here})
        ray_cluster._knock(None)
        monkeypatch.setattr(ray_cluster, "_nodes", lambda: {here, "127.0.0.1:2"})
        with pytest.raises(OSError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
            ray_cluster._knock(None)  # (of several Ray takes the one that was left)
        monkeypatch.setenv("RAY_ADDRESS", here)
        ray_cluster._knock(None)
        ray_cluster._knock("auto")


def test_the_folder_of_ray_is_where_ray_looks_for_it(monkeypatch):
    monkeypatch.setattr(ray_cluster.sys, "platform", "linux")
    monkeypatch.setenv("TMPDIR", "/scratch")
    monkeypatch.setenv("RAY_TMPDIR", "/mine")
    assert str(ray_cluster._left()) == "/mine/ray/ray_current_cluster"
    monkeypatch.delenv("RAY_TMPDIR")
    assert str(ray_cluster._left()) == "/scratch/ray/ray_current_cluster"
    monkeypatch.delenv("TMPDIR")
    assert str(ray_cluster._left()) == "/tmp/ray/ray_current_cluster"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_nodes_of_ray_are_found_by_their_command_lines():
    wait = ["-c", "print(flush=True); input()", "--gcs-address=127.0.0.1:7", "--head=1"]
    before = ray_cluster._nodes()
    for name, new in (("raylet", {"127.0.0.1:7"}), ("other", set())):
        both = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with subprocess.Popen([name, *wait], executable=sys.executable, **both) as process:
            assert process.stdout.readline()  # (a program that begins has no words for a moment)
            found = ray_cluster._nodes() - before
            process.communicate(b"\n", timeout=60)
        assert found == new


def test_a_version_may_have_letters(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    found = []
    for version in ("2.61rc1", "3.0.0.dev0", "2.60.1"):
        monkeypatch.setattr(ray_cluster, "version_of", lambda _, version=version: version)
        found.append(ray_cluster._has_token())
    assert found == [True, True, False]
