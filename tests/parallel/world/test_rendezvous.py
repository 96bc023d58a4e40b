"""Meeting places that are not there, taken, silent, or hung: every wait for them ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from parallel import World
from parallel.training.loop import rows
from parallel.world.run import run
from tests.python import python
from tests.tree import ROOT

LATE = 200  # seconds: far above all timeouts here, far below "for ever"


def place(monkeypatch, port, rank=0, size=1):
    env = dict(RANK=rank, WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    for name, value in env.items():
        monkeypatch.setenv(name, str(value))


@contextlib.contextmanager
def silent():
    """A port where somebody accepts, and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        accepted = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for one in accepted:
            one.close()
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_nobody_can_meet_at_is_refused_at_once(monkeypatch, port):
    place(monkeypatch, port)
    with pytest.raises(ValueError, match=f"MASTER_PORT is {port}, expected 1 to 65535"):
        World.env()


def test_a_peer_that_accepts_and_never_answers_ends_with_the_timeout(monkeypatch):
    with silent() as port:
        place(monkeypatch, port, rank=1, size=2)
        with pytest.raises(ValueError, match=r"reach the meeting place .* within 2 s \(no answer"):
            list(run(World.env(timeout=2), rows))


def test_the_command_of_the_thesis_ends_as_well(tmp_path):
    with silent() as port:
        words = ["--timeout", "2", "--rank", "1", "--master-loc", f"127.0.0.1:{port}"]
        words += ["--log-path", tmp_path]
        done = python("-m", "parallel", "gossip", *words, timeout=LATE)
    assert done.returncode == 2
    assert "cannot open or reach the meeting place" in done.stderr
    assert "Traceback" not in done.stderr


HANGING = """
    import os, signal, sys
    import torch
    import torch.nn.functional as F
    from parallel import DataParallel
    from parallel.identities import averaging as identities

    net = DataParallel("elastic_gossip", model=identities.net(), timeout=12)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    data = identities.task()
    for step in range(500):
        if net.comm.rank == 0 and step == 3:
            os.kill(os.getpid(), signal.SIGSTOP)
        optimizer.zero_grad()
        F.cross_entropy(net(data.train_x[:4]), data.train_y[:4]).backward()
        optimizer.step()
"""


@pytest.mark.slow
def test_a_rank_that_hangs_with_the_store_takes_nobody_with_it():
    """The store of rank 0 accepts and never answers; the others still end, and say who it was."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = dict(os.environ, WORLD_SIZE="3", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    argv = [sys.executable, "-c", textwrap.dedent(HANGING)]
    words = dict(stderr=subprocess.PIPE, text=True, cwd=ROOT)
    ranks = [subprocess.Popen(argv, env={**env, "RANK": str(r)}, **words) for r in range(3)]
    try:
        said = [ranks[r].communicate(timeout=LATE)[1] for r in (1, 2)]
        assert ranks[0].poll() is None
        assert [ranks[r].returncode for r in (1, 2)] == [1, 1]
        assert all("PeerLost: rank" in text for text in said), said
        assert any("rank 0 did not answer (waited up to 12 s" in text for text in said), said
    finally:
        for one in ranks:
            one.send_signal(signal.SIGKILL)
            one.communicate()
