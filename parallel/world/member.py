"""Runs a process of `World.procs`, from its first line to its last word."""

import io
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

import torch

from parallel.link.space import enter
from parallel.world import interface
from parallel.world.faults import PeerLost
from parallel.world.parcel import Parcel
from parallel.world.place import Place
from parallel.world.rendezvous import store_at
from parallel.world.wire import Wire, closing
from parallel.world.world import World


def member(rank: int, world: World, place: Place, pipe, line, work: Parcel) -> None:
    """Run the task and tell the parent; end when the parent does, however it does.

    Args:
        rank: The rank of this process.
        world: Its world.
        place: Where the parent's store is, and this process' host.
        pipe: The pipe to the parent.
        line: A pipe from the parent, who holds the other end as long as it lives.
        work: The task (see parallel.world.run) and its arguments.
    """
    if place.spaces:
        enter(place.spaces[rank])
        interface.choose(place.address, place.port)
    threading.Thread(target=_watch, args=(line,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(world.threads or max(1, (cores or 1) // world.workers))
    try:
        task, args = work.get()
        store = store_at(place.address, place.port, world.timeout, False)
        comm = Wire(rank, world.workers, store, world.timeout, world.elastic)
        with closing(comm):
            backend = "gloo" if place.spaces else world.backend
            comm.group.open(store, rank, world.workers, backend, local=rank)
            for row in task(comm, *args):
                if rank == 0:
                    _tell(pipe, "row", row)
        _tell(pipe, "done")
    except Exception as error:
        _tell(pipe, "error", type(error).__name__, _text(error))
        raise SystemExit(1) from None


def _watch(line: Connection) -> None:
    try:
        line.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _tell(pipe: Connection, *words: Any) -> None:
    """Send builtin values, and tensors as bytes, which stay whole if this process ends first."""
    buffer = io.BytesIO()
    torch.save(words, buffer)
    pipe.send_bytes(buffer.getvalue())


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, PeerLost) else f"{type(error).__name__}: {error}"
