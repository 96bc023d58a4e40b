"""Real processes, a stage each: what the others say when one dies, stops, lies or is late."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from harness.record.checkpoint import load_checkpoint, save_checkpoint
from parallel import World
from parallel.identities import averaging as identities
from parallel.pipeline.pipeline import Pipeline
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm
from parallel.world.procs import WorkerError
from parallel.world.run import run as go
from tests.parallel.processes import killed_while_saving, limit
from tests.tree import ROOT

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.8)
# (which Linux alone tells; the parent waits no longer for such a one)
STOPPED = ["rank 1: was stopped by a signal, and was killed"] if sys.platform == "linux" else []
WAITING = "of stage 0 for minibatch 4, waiting for rank 1 (stage 1)"


def training(comm, weights=None, seed=5, steps=12, data=None, **options):
    options = {"layer_split": [2, 4], **options}
    pipeline = Pipeline(3, weights=weights, micro=2 if weights == "two_bw" else 1, **options)
    words = identities.net, data or identities.task(), F.cross_entropy, SGD, pipeline, comm
    return Pipelined(*words, batch_size=7, seed=seed, steps=steps, resumable=True)


def misbehave(comm, what, weights):
    """Train, and do `what` in stage 1 after four updates."""
    session = training(comm, weights)
    while session.done < 12:
        if comm.rank == 1 and session.done == 4:
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            if what == "nan":
                session.executor.stages[1].weights.params["0.bias"].data[2] = float("nan")
            if what == "raise":
                raise OSError("my disk is full")
        if what == "slow" and comm.rank == 1:
            time.sleep(0.05)
        session.step()
        if session.done % 4 == 0:
            row = session.row()
            yield {k: row[k] for k in ("step", "train_loss", "test_loss", "bytes_payload")}


def run(what, weights=None, timeout=4):
    with limit(90):
        return list(go(World.procs(3, timeout=timeout), misbehave, what, weights))


@pytest.mark.parametrize(
    ("what", "weights", "texts"),
    [
        ("die", "two_bw", ["rank 1: was killed by SIGKILL", f"{WAITING}: rank 1 did not answer"]),
        ("die", "spectrain_v1", ["killed by SIGKILL", f"{WAITING}: rank 1 did not answer"]),
        pytest.param(
            *("stop", None, [f"{WAITING}: rank 1 did not answer", "waited up to 4 s", *STOPPED]),
            marks=pytest.mark.slow,
        ),
        pytest.param(  # (one that hangs is in the fast tests of tests/parallel/world)
            *("stop", "spectrain_v1"),
            [f"{WAITING}: rank 1 did not answer", "waited up to 4 s", *STOPPED],
            marks=pytest.mark.slow,
        ),
        ("nan", None, ["rank 1: NotFinite: stage 1", "its weights 0.bias", "for minibatch 4"]),
        ("nan", "spectrain_v1", ["rank 1: NotFinite: stage 1", "0.bias", "was not sent"]),
        ("raise", None, ["rank 1: OSError: my disk is full", "rank 1 stopped: OSError"]),
    ],
)
def test_a_stage_that_fails_is_named_and_nobody_waits_for_ever(what, weights, texts):
    with pytest.raises(WorkerError) as caught:
        run(what, weights)
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_a_stage_slower_than_all_changes_nothing():
    """Neither numbers nor bytes, and waits that are shorter than the timeout are no fault."""
    assert run("slow", "spectrain_v1", timeout=20) == run("nothing", "spectrain_v1", timeout=20)


OTHERS = {
    "another policy": dict(weights="vanilla"),
    "another cut": dict(layer_split=[1, 3]),
    "another schedule": dict(weights=None, schedule="gpipe"),
    "another clip": dict(clip=1.0),
    "another seed": dict(seed=6),
    "another number of updates": dict(steps=13),
    "other targets": dict(data="other"),
}


def differ(comm, other):
    options = dict(weights="spectrain_v1")
    if comm.rank == 1:
        options |= OTHERS[other]
    if options.get("data"):
        options["data"] = identities.task()
        options["data"].train_y[3] = (options["data"].train_y[3] + 1) % 3
    training(comm, **options)
    yield 1


@pytest.mark.parametrize("other", OTHERS)
def test_ranks_that_run_different_things_are_told_apart_before_the_first_step(other):
    with limit(60), pytest.raises(WorkerError, match="do not run the same thing"):
        list(go(World.procs(3, timeout=6), differ, other))


def test_two_scripts_of_two_ranks_are_told_apart():
    code = """
        import sys
        from parallel import World, train
        from parallel.identities import averaging
        from parallel.pipeline.pipeline import Pipeline
        pipeline = Pipeline(2, weights=sys.argv[1], layer_split=[2])
        world = World.env(timeout=10)
        print(*train(averaging.net, averaging.task(), strategy=pipeline, world=world, steps=3))
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank, policy in enumerate(("vanilla", "pipedream")):
        env = dict(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        argv = [sys.executable, "-c", textwrap.dedent(code), policy]
        options = dict(cwd=ROOT, env={**os.environ, **env}, text=True)
        started.append(subprocess.Popen(argv, stderr=subprocess.PIPE, **options))
    with limit(90):
        said = [process.communicate()[1] for process in started]
    assert all(process.returncode for process in started)
    assert all("Mismatch: ranks do not run the same thing" in text for text in said), said


def test_a_kill_while_saving_leaves_the_old_file(tmp_path):
    """The write is whole or not at all, whenever it is cut; what is in flight is in it."""
    begin = """
        from parallel.world.comm import Comm
        from tests.parallel.pipeline.test_faults import training
        session = training(Comm(3), "spectrain_v1", steps=1000)
    """
    saved = killed_while_saving(begin, tmp_path / "pipeline.cp.pt")
    resumed, whole = (training(Comm(3), "spectrain_v1", steps=1000) for _ in range(2))
    resumed.load_state_dict(saved)
    resumed.step()
    while whole.done < resumed.done:
        whole.step()
    assert identities.apart(resumed.consensus(), whole.consensus()) == 0


def saving(comm, place, dies):
    """Save before every update, and die after the seventh; or go on from the fourth."""
    session = training(comm, "spectrain_v1")
    if not dies:
        session.load_state_dict(load_checkpoint(place / f"{comm.rank}_4.cp.pt"))
    while session.done < 12:
        if dies:
            save_checkpoint(place / f"{comm.rank}_{session.done}.cp.pt", session.state_dict())
        if dies and session.done == 7 and comm.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        session.step()
    state = session.consensus()
    if comm.rank == 0:
        yield {k: v.clone() for k, v in state.items()}


def test_a_restart_from_what_each_rank_saved_ends_as_if_nobody_had_died(tmp_path):
    """In new processes, with minibatches in flight: bit for bit the uninterrupted simulation."""
    with limit(120):
        with pytest.raises(WorkerError, match="rank 1: was killed by SIGKILL"):
            list(go(World.procs(3, timeout=6), saving, tmp_path, True))
        (found,) = go(World.procs(3, timeout=20), saving, tmp_path, False)
    whole = training(Comm(3), "spectrain_v1")
    for _ in range(12):
        whole.step()
    assert identities.apart(whole.consensus(), found) == 0
