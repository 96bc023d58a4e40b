"""Processes on this machine that run one task together; the parent waits, and tells what happened.

They come from a fork server that has loaded torch once, so that the fourth starts as fast as the
first. The parent holds the store, which outlives any of them.
"""

import io
import multiprocessing
import os
import queue
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.multiprocessing

from parallel.world.wire import PeerLost, Wire, closing, grace

if TYPE_CHECKING:
    from parallel.world.world import World

# (torch._dynamo: the first optimizer of a process would load it, for seconds)
PRELOADED = [
    "torch",
    "torch.distributed",
    "torch._dynamo",
    "parallel.training.training",
    "parallel.strategy",
]


END = object()  # of the rows


class WorkerError(RuntimeError):
    """A process failed; the text says which, and why."""


class Crew:
    """The processes of one run."""

    def __init__(self, world: "World", task: Callable, args: tuple):
        self.world, self.grace = world, grace(world.timeout)
        self.store = dist.TCPStore(  # pyright: ignore
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=30)
        )
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.pipes: dict[Connection, int] = {}
        self.lines = []  # each member holds the other end: if we die, it notices
        self.members = []
        for rank in range(world.workers):
            ours, theirs = context.Pipe(duplex=False)
            line, held = context.Pipe(duplex=False)
            self.lines.append((line, held))
            self.pipes[ours] = rank
            words = rank, world, self.store.port, theirs, line, task, args
            self.members.append(context.Process(target=_member, args=words, daemon=True))
        self.failed: dict[int, tuple[str, str]] = {}
        self.done: set[int] = set()
        self.told: Any = queue.SimpleQueue()
        self.listener = threading.Thread(target=self._listen, daemon=True)

    def rows(self) -> Iterator[Any]:
        """What rank 0 yields, until all are done.

        Raises:
            WorkerError: one of them failed, and the others cannot go on.
        """
        self._start()
        self.listener.start()
        while (row := self.told.get()) is not END:
            if isinstance(row, Exception):
                raise row
            yield row
        if self._stuck():
            raise WorkerError(self._story())
        if self.failed:  # elastic: the others have gone on
            warnings.warn(self._story(), stacklevel=3)

    def _listen(self) -> None:
        """Read all that comes, at once: rank 0 never waits for whoever takes the rows."""
        deadline = None
        try:
            while self.pipes:
                for pipe in wait(list(self.pipes), timeout=0.5):
                    self._read(pipe)  # pyright: ignore
                if (self._stuck() or 0 in self.done) and deadline is None:
                    deadline = time.monotonic() + self.world.timeout + 2 * self.grace
                if deadline and time.monotonic() > deadline:
                    for rank in self.pipes.values():
                        self.failed.setdefault(rank, ("Stuck", "did not end, and was killed"))
                    break
        except Exception as error:
            self.told.put(error)
        self.told.put(END)

    def _start(self) -> None:
        try:
            for member in self.members:
                member.start()
        except OSError:
            raise
        except Exception as error:  # of pickling, of many kinds
            raise ValueError(
                f"World.procs: model, loss, data and optimizer go to other processes by pickle, "
                f"and this cannot ({error}): define it in a module, not in a function or lambda"
            ) from None

    def _read(self, pipe: Connection) -> None:
        rank = self.pipes[pipe]
        try:
            kind, *content = torch.load(io.BytesIO(pipe.recv_bytes()), weights_only=True)
        except (EOFError, OSError):
            del self.pipes[pipe]
            self._ended(rank)
            return
        except UnpicklingError as error:
            thing = re.search(r"GLOBAL (\S+)", str(error))
            raise ValueError(
                f"World.procs: a row holds {thing[1] if thing else 'an object'}: "
                "rows are dicts, lists, strings, numbers and tensors (float(x) of a numpy number)"
            ) from None
        if kind == "row":
            self.told.put(content[0])
        elif kind == "error":
            self.failed[rank] = content[0], content[1]
        elif kind == "done":
            self.done.add(rank)

    def _ended(self, rank: int) -> None:
        self.members[rank].join(self.grace)
        if rank in self.done or rank in self.failed:
            return
        code = self.members[rank].exitcode
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code and code < 0
            else f"ended ({code})"
        )
        self.failed[rank] = "Killed", how

    def _stuck(self) -> bool:
        """Whether a failure is one that the others cannot do without."""
        return bool(self.failed) and (not self.world.elastic or 0 in self.failed)

    def _story(self) -> str:
        """Causes first; those who only lost touch with them after."""
        order = sorted(self.failed.items(), key=lambda item: item[1][0] == PeerLost.__name__)
        lines = [
            text if kind == PeerLost.__name__ else f"rank {rank}: {text}"
            for rank, (kind, text) in order
        ]
        return "\n  ".join(
            [f"{len(self.failed)} of {self.world.workers} processes failed:", *lines]
        )

    def stop(self) -> None:
        """Nobody is left behind."""
        for how in ("terminate", "kill"):
            for member in self.members:
                if member.is_alive():
                    getattr(member, how)()
            for member in self.members:
                if member.pid:
                    member.join(self.grace)
        if self.listener.is_alive():
            self.listener.join(self.grace)


def spawn(world: "World", task: Callable[..., Iterator[Any]], args: tuple) -> Iterator[Any]:
    """Rows of rank 0."""
    crew = Crew(world, task, args)
    try:
        yield from crew.rows()
    finally:
        crew.stop()


def _member(rank: int, world: "World", port: int, pipe, line, task, args: tuple) -> None:
    """One process: run the task, tell the parent; end when the parent does, however it does."""
    threading.Thread(target=_watch, args=(line,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(world.threads or max(1, (cores or 1) // world.workers))
    limit = timedelta(seconds=world.timeout)
    try:
        store = dist.TCPStore(  # pyright: ignore
            "127.0.0.1", port, is_master=False, timeout=limit
        )
        comm = Wire(rank, world.workers, store, world.timeout, world.elastic)
        with closing(comm):
            comm.open(world.backend, local=rank)
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
    """Builtin values and tensors as bytes: whole though this process may end before the reading."""
    buffer = io.BytesIO()
    torch.save(words, buffer)
    pipe.send_bytes(buffer.getvalue())


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, PeerLost) else f"{type(error).__name__}: {error}"
