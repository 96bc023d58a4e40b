"""Messages on their way: posted, and waited for later, in one process and between several."""

import os
import re
import signal

import pytest
import torch

from parallel import World
from parallel.world.comm import Comm
from parallel.world.procs import WorkerError
from parallel.world.run import run


def word(*values):
    """A state that is no mistake for another."""
    return {"x": torch.tensor(values), "n": torch.tensor([len(values)])}


def test_what_was_posted_is_what_it_was_at_the_time():
    comm, sent = Comm(2), word(1.0, 2.0)
    ticket = comm.post({(0, 1): sent, (1, 0): word(5.0)}, {})
    sent["x"].zero_()
    got = comm.wait(ticket)
    assert got[0, 1]["x"].tolist() == [1, 2]
    assert got[1, 0]["x"].tolist() == [5]


def test_bytes_are_counted_once_for_what_leaves_a_place():
    comm = Comm(2)
    ticket = comm.post({(0, 1): word(1.0, 2.0), (1, 1): word(3.0)}, {})
    assert comm.sent == 2 * 4 + 8
    comm.wait(ticket)
    comm.wait(comm.post({(0, 1): word(1.0)}, {}, counted=False))
    assert comm.sent == 2 * 4 + 8


def in_flight(comm, order):
    """Two posts around a ring before any wait: a long one, then a short one of the same pair."""
    here, size = comm.rank, comm.workers
    to, of = (here, (here + 1) % size), ((here - 1) % size, here)
    sent = word(*[float(here)] * 100_000)
    tickets = [comm.post({to: sent}, {of: sent})]
    sent["x"].fill_(-1.0)
    tickets.append(comm.post({to: word(here + 0.5)}, {of: word(0.0)}))
    got = [None, None]
    for i in order:
        got[i] = comm.wait(tickets[i])[of]["x"].unique().tolist()
    told = comm.everyone(float(got == [[float(of[0])], [of[0] + 0.5]]))
    yield {"right": told, "sent": comm.sent}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_posts_in_flight_are_waited_for_in_either_order(order):
    (row,) = run(World.procs(3, timeout=30), in_flight, order)
    assert row == {"right": [1.0] * 3, "sent": 100_000 * 4 + 8 + 4 + 8}


def never(comm):
    """Rank 1 stops between the post and the wait."""
    if comm.rank == 1:
        comm.wait(comm.post({(1, 0): word(1.0)}, {}))
        os.kill(os.getpid(), signal.SIGSTOP)
    first = comm.post({}, {(1, 0): word(0.0)})
    second = comm.post({}, {(1, 0): word(0.0)})
    yield comm.wait(first)[1, 0]["x"].tolist()
    comm.wait(second)


def test_a_wait_that_was_too_long_names_the_peer():
    found = run(World.procs(2, timeout=3), never)
    assert next(found) == [1.0]
    with pytest.raises(WorkerError, match=re.escape("rank 1 did not answer (waited up to 3 s")):
        list(found)
