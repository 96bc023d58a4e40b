"""Real processes: the same numbers, and what happens when one of them dies, lies or is late."""

import os
import signal
import socket
import time
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.nets.dropout import KeyedDropout
from parallel import World, train
from parallel.identities import averaging as identities
from parallel.strategy import make
from parallel.training.loop import rows
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.environment import from_environment
from parallel.world.procs import WorkerError
from parallel.world.run import run as go
from tests.parallel.processes import killed_while_saving, limit

FAST = dict(timeout=6)


@pytest.mark.parametrize(
    "name",
    [
        *("all_reduce", "post_local_sgd", "easgd", "elastic_gossip", "ist", "hierarchical"),
        pytest.param("push_sum", marks=pytest.mark.slow),
    ],
)
def test_processes_are_the_simulation(name):
    """And so, by verify in the fast tests, the oracle. Bytes too."""
    from parallel.identities.chosen import SETTINGS

    with limit(120):
        deviation = identities.by_processes(lambda: make(name, **SETTINGS.get(name, {})))
    assert deviation <= 1e-12


@pytest.mark.parametrize("name", ["no_comm", "elastic_gossip"])
def test_elastic_processes_are_the_simulation_while_all_live(name):
    """Means go through rank 0, weighted by the same samples."""
    strategy = make(name)
    words = identities.net, identities.task(), F.cross_entropy, partial(torch.optim.SGD, lr=0.1)
    with limit(90):
        world = World.procs(3, timeout=20, elastic=True)
        *_, row = go(world, identities.states, (*words, strategy), OPTIONS, 10)
    session = Training(*words, make(name), Comm(3), **OPTIONS)
    for _ in range(10):
        session.step()
    assert identities.apart(session.executor.consensus(), row) <= 1e-12


def dropping(rank=0):
    torch.manual_seed(3)
    layers = KeyedDropout(0.2, 0), nn.Linear(4, 8), nn.ReLU(), KeyedDropout(0.5, 1), nn.Linear(8, 3)
    return nn.Sequential(*layers).double()


def test_keyed_dropout_is_the_same_in_both_worlds_and_torchs_own_can_be_repeated():
    words = identities.task(), F.cross_entropy, partial(torch.optim.SGD, lr=0.1), "local_sgd"
    options = dict(steps=12, every=12, batch_size=7)
    with limit(120):
        (a,) = train(dropping, *words, World.sim(3), **options)
        (b,) = train(dropping, *words, World.procs(3, timeout=30), **options)
    assert a["test_loss"] == pytest.approx(b["test_loss"], abs=1e-13)
    assert a["consensus_distance"] == pytest.approx(b["consensus_distance"], abs=1e-13)
    plain = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)).double()
    first, second = (list(train(plain, *words, World.sim(3), **options)) for _ in range(2))
    assert first[0]["test_loss"] == second[0]["test_loss"]


def misbehave(comm, what, parts, options, steps, marker=None):
    """Train, and do `what` as rank 2 at step 5."""
    session = Training(*parts, comm, **options)
    while session.done < steps:
        if comm.rank == 2 and session.done == 4:
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            if what == "nan":
                next(iter(session.members.get("params").values()))[0, 0, 0] = float("nan")
            if what == "raise":
                raise OSError("my disk is full")
            if what == "skip":
                session.done += 1  # a step that the others take
        session.step()
        if session.done % 4 == 0:
            yield session.row()


def parts(strategy, **options):
    sgd = partial(torch.optim.SGD, lr=0.1)
    return identities.net, identities.task(), F.cross_entropy, sgd, make(strategy, **options)


OPTIONS = dict(batch_size=7, seed=5)


def run(what, strategy, steps=12, world=None, **options):
    world = world or World.procs(4, **FAST)
    with limit(90):
        return list(go(world, misbehave, what, parts(strategy, **options), OPTIONS, steps))


@pytest.mark.parametrize(
    ("what", "strategy", "texts"),
    [
        ("die", "all_reduce", ["rank 2: was killed by SIGKILL", "rank 2 did not answer"]),
        ("die", "ist", ["rank 2: was killed by SIGKILL", ": rank 2 did not answer"]),
        ("die", "elastic_gossip", ["rank 2: was killed by SIGKILL", "rank 2 did not answer"]),
        ("die", "zero1", ["rank 2: was killed by SIGKILL", "rank 2 did not answer"]),
        ("die", "zero3", ["rank 2: was killed by SIGKILL", "rank 2 did not answer"]),
        ("nan", "zero2", ["rank 2: NotFinite: worker 2 has NaN or infinity"]),
        ("stop", "all_reduce", ["rank 2 did not answer (waited up to 4 s"]),
        ("nan", "all_reduce", ["rank 2: NotFinite: worker 2 has NaN or infinity"]),
        ("nan", "gossip_pull", ["worker 2 has NaN or infinity in params:0.weight"]),
        ("raise", "local_sgd", ["rank 2: OSError: my disk is full", "rank 2 stopped: OSError"]),
        pytest.param("die", "hierarchical", ["rank 2 did not answer"], marks=pytest.mark.slow),
        ("skip", "all_reduce", ["ranks are at different places", "rank 2 at the end of step 8"]),
    ],
)
def test_a_failure_is_named_and_nobody_waits_for_ever(what, strategy, texts):
    options = dict(period=2) if strategy in ("local_sgd", "ist") else {}
    world = World.procs(4, timeout=4)
    begin = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        run(what, strategy, world=world, **options)
    assert time.monotonic() - begin < 60
    for text in texts:
        assert text in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("strategy", "dying"),
    [("elastic_gossip", (2,)), ("elastic_gossip", (1, 2, 3)), ("local", (2,))],
)
def test_who_does_not_need_everybody_goes_on_without_the_dead_and_ends(strategy, dying):
    """One of four is killed, or all but rank 0."""
    world = World.procs(4, elastic=True, timeout=30)
    with limit(110), pytest.warns(UserWarning, match=f"{len(dying)} of 4 processes") as warned:
        found = list(go(world, losing, parts(strategy), OPTIONS, dying))
    assert [row["step"] for row in found] == [4, 8, 12]
    assert all(row["test_loss"] == row["test_loss"] for row in found)
    killed = f"rank{'s' * (len(dying) > 1)} {', '.join(map(str, dying))}: was killed by SIGKILL"
    assert killed in "".join(str(one.message) for one in warned)


def losing(comm, parts, options, dying):
    session = Training(*parts, comm, **options)
    while session.done < 12:
        if comm.rank in dying and session.done == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        session.step()
        if session.done % 4 == 0:
            yield session.row()


@pytest.mark.parametrize("name", ["all_reduce", "local_sgd", "post_local_sgd", "easgd", "ist"])
def test_who_needs_everybody_is_refused_in_an_elastic_world(name):
    """Before the first step, in one sentence for all ranks."""
    strategy = make(name, **({"alpha": 0.2} if name == "easgd" else {}))
    comm = Comm(2)
    comm.elastic = True
    with pytest.raises(ValueError, match="cannot go on without a worker: take elastic=False"):
        Training(*parts("local")[:4], strategy, comm, **OPTIONS)


def test_what_all_ranks_say_is_said_once():
    world = World.procs(3, elastic=True, timeout=30)
    with limit(90), pytest.raises(WorkerError) as caught:
        list(go(world, losing, parts("all_reduce"), OPTIONS, ()))
    assert str(caught.value).count("cannot go on without a worker") == 1
    assert "ranks 0, 1, 2: ValueError: GradientAllReduce cannot" in str(caught.value)


def test_a_peer_that_hangs_ends_an_elastic_run():
    """It is not dead, and gloo cannot go on after a wait that was too long."""
    with pytest.raises(WorkerError, match=r"rank 2 did not answer \(waited up to 4 s"):
        run("stop", "elastic_gossip", world=World.procs(4, elastic=True, timeout=4))


def test_ranks_that_start_from_different_steps_are_refused():
    with (
        limit(60),
        pytest.raises(
            WorkerError, match="rank 0 at the end of step 4, rank 1 at the end of step 2"
        ),
    ):
        list(go(World.procs(2, **FAST), resume_apart, parts("all_reduce"), OPTIONS))


def resume_apart(comm, parts, options):
    session = Training(*parts, comm, **options)
    saved = session.state_dict()
    saved["done"] = 4 - 2 * comm.rank
    session.load_state_dict(saved)
    session.step()
    yield 1


def test_ranks_that_run_different_things_are_refused():
    with limit(60), pytest.raises(WorkerError, match="do not run the same thing"):
        list(go(World.procs(2, **FAST), other_seeds, parts("elastic_gossip"), OPTIONS))


def other_seeds(comm, parts, options):
    Training(*parts, comm, **{**options, "seed": comm.rank})
    yield 1


def test_what_cannot_travel_is_said():
    with limit(60), pytest.raises(ValueError, match="define it in a module"):
        list(train(identities.net(), identities.task(), lambda a, b: a.sum(), world=World.procs(2)))


def test_rank_0_does_not_wait_for_whoever_takes_the_rows(tmp_path):
    """More than a pipe holds, while the taker is at the first row."""
    found = go(World.procs(2, **FAST), large_rows, tmp_path / "through")
    with limit(60):
        assert next(found) == "0" * 100_000
        while not (tmp_path / "through").exists():
            time.sleep(0.05)
        assert list(found) == [str(i) * 100_000 for i in range(1, 5)]


def test_a_row_of_other_things_is_refused():
    with limit(60), pytest.raises(ValueError, match=r"a row holds numpy\S*scalar: rows are dicts"):
        list(go(World.procs(2, **FAST), numpy_rows))


def numpy_rows(comm):
    yield np.float64(1)


def large_rows(comm, place):
    for i in range(5):
        yield str(i) * 100_000
    if comm.rank == 0:
        place.touch()


def test_wrong_worlds(monkeypatch):
    for make_world, text in (
        (lambda: World.sim(0), "1 worker or more"),
        (lambda: World.procs(2, timeout=0), "above 0"),
        (lambda: World("simm", 2), "did you mean 'sim'"),
    ):
        with pytest.raises(ValueError, match=text):
            make_world()
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT not set"):
        World.env()
    env = dict(RANK="3", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="RANK 3 of WORLD_SIZE 2"):
        World.env()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ValueError, match="RANK is 'first'"):
        from_environment()


def test_a_taken_port_is_said(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = dict(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with limit(60), pytest.raises(ValueError, match=f"127.0.0.1:{port}.*is the port taken"):
            list(go(World.env(timeout=3), rows))


def test_a_kill_while_saving_leaves_the_old_file(tmp_path):
    """The write is whole or not at all, whenever it is cut."""
    begin = """
        from parallel.identities import averaging as identities
        from parallel.strategy import make
        session = identities.training(make("easgd", alpha=0.2))
    """
    saved = killed_while_saving(begin, tmp_path / "rank_0.cp.pt")
    session = identities.training(make("easgd", alpha=0.2))
    session.load_state_dict(saved)
    again = identities.trained(make("easgd", alpha=0.2), steps=saved["done"])
    assert identities.apart(session.executor.consensus(), again.executor.consensus()) == 0


def test_more_workers_than_samples():
    data = identities.task()
    few = Data("few", "none", data.train_x[:2], data.train_y[:2], data.test_x, data.test_y)
    with pytest.raises(ValueError, match="3 workers for 2 samples"):
        list(train(identities.net, few, world=World.sim(3), steps=1))
    with pytest.raises(ValueError, match="a batch of 2 for 3 workers"):
        list(train(identities.net, data, world=World.sim(3), steps=1, batch_size=2))
