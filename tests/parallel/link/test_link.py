"""A world whose processes have hosts of their own, and the cables between them."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from harness.job import Job
from harness.record import store
from parallel import World, trainer
from parallel.identities import averaging as identities
from parallel.link.cable import Cable
from parallel.link.net import Net, remove, spaces, why_not
from parallel.link.space import inside
from parallel.plans.link import PLANS
from parallel.strategy import make
from parallel.training.training import Training
from parallel.world import interface
from parallel.world.run import run
from tests.tree import ROOT

root = hasattr(os, "geteuid") and os.geteuid() == 0
# (as root on Linux these fail rather than skip: a machine without `ip` is said)
hosts = pytest.mark.skipif(not root or sys.platform != "linux", reason=f"hosts: {why_not()}")
STEPS = 8


def task(comm, name, options):
    sgd = partial(torch.optim.SGD, **identities.MOMENTUM)
    given = identities.net, identities.task(), F.cross_entropy, sgd, make(name, **options), comm
    training = Training(*given, batch_size=8, seed=5)
    for _ in range(STEPS):
        training.step()
    yield training.row()


@hosts
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("all_reduce", {}), ("local_sgd", dict(period=3)), ("elastic_gossip", dict(probability=0.5))],
)
def test_four_hosts_train_as_the_simulation_does(name, options):
    world = World.procs(4, link=Cable(delay=0.01), timeout=30, threads=1)
    (found,) = run(world, task, name, options)
    (simulated,) = run(World.sim(4), task, name, options)
    for number in ("test_loss", "bytes_payload", "bytes_theory"):
        assert found[number] == pytest.approx(simulated[number], abs=1e-12)
    # (a mean is two rounds of messages at least, and each message is under way for the delay)
    if name == "all_reduce":
        assert found["train_time"] > STEPS * 2 * 0.01
    assert found["machines"] == 4
    assert found["bytes_os"] > found["bytes_payload"] + found["bytes_telemetry"]
    assert not [space for space in spaces() if f"-{os.getpid()}-" in space]


@hosts
@pytest.mark.slow
def test_two_workers_of_a_host_share_its_cable():
    """Within a host nothing crosses a cable: eight steps, of which two average over all."""
    given = dict(link=Cable(delay=0.01), timeout=30, threads=1)
    options = dict(per_machine=2, period=4)
    (simulated,) = run(World.sim(4), task, "hierarchical", options)
    found = {}
    for per_host in (1, 2):
        world = World.procs(4, **given, per_host=per_host)
        (found[per_host],) = run(world, task, "hierarchical", options)
        assert found[per_host]["test_loss"] == pytest.approx(simulated["test_loss"], abs=1e-12)
        assert found[per_host]["bytes_payload"] == simulated["bytes_payload"]
        assert found[per_host]["machines"] == 4 / per_host
    # (the rings of two are within hosts: of eight steps no delay but that of two rings of all)
    assert found[1]["train_time"] > (STEPS * 2 + 2 * 2) * 0.01
    assert found[2]["bytes_os"] < found[1]["bytes_os"]
    assert not [space for space in spaces() if f"-{os.getpid()}-" in space]


@hosts
@pytest.mark.parametrize("user_space", [False, True], ids=["bridge", "forwarder"])
def test_a_cable_can_be_cut_and_mended(user_space):
    ask = ["ping", "-c", "1", "-W", "1", "-q"]
    if subprocess.run(["which", "ping"], capture_output=True).returncode:
        pytest.skip("no ping here")
    with Net(2, user_space=user_space) as net:

        def reached():
            return net.start(0, [*ask, net.address(1)], stdout=subprocess.DEVNULL).wait(20) == 0

        before = net.sent(0)
        assert reached()
        assert net.sent(0) > before
        net.cut(1)
        assert not reached()
        net.mend(1)
        assert reached()


@hosts
def test_a_thread_alone_enters_a_host():
    with Net(1) as net:
        there = inside(net.space(0), lambda: set(interface.addresses("eth0")))
        assert net.address(0) in map(str, there)
        assert net.address(0) not in map(str, interface.addresses("eth0"))


@hosts
def test_what_a_killed_process_left_is_removed_by_the_next():
    code = "import os, signal; from parallel.link.net import Net; n = Net(1).__enter__()\n"
    code += "print(n.prefix, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    prefix = done.stdout.strip()
    assert prefix.startswith("iddl-")
    # (that it is there cannot be asserted: tests beside this one sweep, too)
    with Net(1):
        assert not [space for space in spaces() if space.startswith(prefix)]
    remove(prefix)


def test_the_way_to_a_master_is_known_without_a_packet(monkeypatch):
    assert interface.towards("127.0.0.1", 29500) is None
    assert interface.towards("::1", 29500) is None
    assert interface.towards("no.such.host.invalid", 29500) is None
    monkeypatch.setenv(interface.VARIABLE, "mine")
    interface.choose("127.0.0.1", 29500)
    assert os.environ[interface.VARIABLE] == "mine"


def test_the_variable_is_named_where_a_hosts_name_is_its_loopback(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "192.0.2.1")
    monkeypatch.delenv(interface.VARIABLE, raising=False)
    monkeypatch.setattr(interface.socket, "gethostname", lambda: "localhost")
    assert "set GLOO_SOCKET_IFNAME to the interface towards 192.0.2.1" in interface.advice()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert interface.advice() == ""


@pytest.mark.parametrize(
    ("make_it", "text"),
    [
        (lambda: World("sim", 2, link=Cable()), "a cable between the processes of World.procs"),
        (lambda: World.procs(2, link=Cable(), backend="nccl"), "over gloo"),
        (lambda: World.procs(4, link=Cable(), per_host=0), "per_host is a number of workers"),
        (lambda: World.procs(4, per_host=2), "share a cable: give link=, too"),
        (lambda: Cable(rate=-1), "rate is 0 or more, got -1"),
        (lambda: Cable(loss=1.0), "loss is a share below 1"),
        (lambda: Cable(delay=float("nan")), "delay is 0 or more, got nan"),
    ],
)
def test_wrong_cables_are_refused(make_it, text):
    with pytest.raises(ValueError, match=text):
        make_it()


def test_who_is_not_root_is_told(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if sys.platform == "linux":
        with pytest.raises(OSError, match="made by root, and this is another user"):
            Net(2)


@hosts
@pytest.mark.slow
def test_the_smoke_plan_reaches_its_record_over_cables(tmp_path):
    command = [sys.executable, "-m", "parallel", "link_smoke", "--seeds", "1", "--no-figures"]
    command += ["--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (found,) = tmp_path.glob("**/experiment.json")
    runs = {run.arm: run for run in store.load(found).done()}
    for kind in ("all-reduce", "local-sgd"):
        plain, late = (runs[f"{kind}@{link}"].rows for link in ("100-0", "100-5"))
        # the cable changes when, and not what
        assert [row["test_loss"] for row in plain] == [row["test_loss"] for row in late]
        assert all(row["seconds"] > 0.9 * row["cable_time"] for row in late)


def test_who_cannot_have_hosts_is_told_before_anything_trains(monkeypatch):
    config = PLANS["link_smoke"].arms["all-reduce@100-0"]
    monkeypatch.setattr("parallel.linked.run.why_not", lambda: "this is another system")
    with pytest.raises(ValueError, match="on hosts of their own: this is another system"):
        trainer.check(config, Job())
    trainer.check(replace(config, hosts=False), Job())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict(every=0), "every must be at least 1"),
        (dict(per_host=0), "per_host must be at least 1"),
        (dict(per_machine=0), "per_machine must be at least 1"),
        (dict(goal=1.5), r"goal is in \(0, 1\]"),
        (dict(limit=-1), "limit >= 0"),
        (dict(mbit=-5.0), "rate is 0 or more"),
        (dict(latency=-1.0), "delay is 0 or more"),
    ],
)
def test_a_wrong_config_is_refused(change, text):
    with pytest.raises(ValueError, match=text):
        replace(PLANS["link_smoke"].arms["all-reduce@100-0"], **change)


def test_a_run_ends_at_the_goal(tmp_path):
    config = replace(PLANS["link_smoke"].arms["local-sgd@100-0"], hosts=False, goal=0.3, epochs=9)
    rows = list(trainer.train(config, 0))
    assert [row["reached"] for row in rows] == [False] * (len(rows) - 1) + [True]
    assert len(rows) < 9
