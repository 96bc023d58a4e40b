"""Runs one task in processes on this machine; the parent waits, and tells what happened.

They come from a fork server that has loaded torch, and the module of its first task, once: so the
fourth starts as fast as the first. The parent holds the store, which outlives any of them.

    [1] parent: store, pipes, a process per rank ──►  member.py: reaches the store, meets the others
    [2] listener: reads every pipe at once        ◄──  "row" (of rank 0), "error", "done"
    [3] a pipe that closes without a last word    ◄──  killed: the exit code says by what
    [4] one has failed: a while for the others, then all that are left are killed
"""

import contextlib
import io
import math
import multiprocessing
import os
import queue
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.multiprocessing

from parallel.world.cards import refuse_few
from parallel.world.faults import PeerLost, grace
from parallel.world.member import member
from parallel.world.parcel import Parcel
from parallel.world.place import Place
from parallel.world.world import World

# (torch._dynamo: the first optimizer of a process would load it, for seconds)
PRELOADED = ("torch", "torch.distributed", "torch._dynamo")
NO_GUARD = 79  # exit code of a process that would start processes while it reads the script
END = object()  # of the rows


class WorkerError(RuntimeError):
    """Raised where a process failed; the text says which, and why."""


class NoGuard(ValueError):
    """The script would start itself again, as it is read by each of its processes."""


class Procs:
    """The processes of one run."""

    def __init__(self, world: World, task: Callable, args: tuple):
        if world.backend == "nccl":
            refuse_few(world.workers)
        self.world, self.grace = world, grace(world.timeout)
        self.place = Place.of(world)  # [1]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(preloaded(task))
        self.pipes: dict[Connection, int] = {}
        self.lines = []  # each member holds the other end: if we die, it notices
        self.members = []
        for rank in range(world.workers):
            ours, theirs = context.Pipe(duplex=False)
            line, held = context.Pipe(duplex=False)
            self.lines.append((line, held))
            self.pipes[ours] = rank
            words = rank, world, self.place.told(), theirs, line, Parcel((task, args))
            self.members.append(context.Process(target=member, args=words, daemon=True))
        self.failed: dict[int, tuple[str, str]] = {}
        self.done: set[int] = set()
        self.told: Any = queue.SimpleQueue()
        self.listener = threading.Thread(target=self._listen, daemon=True)

    def rows(self) -> Iterator[Any]:
        """Yield what rank 0 yields, until all are done.

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
            raise WorkerError(story(self.failed, self.world.workers))
        if self.failed:  # elastic: the others have gone on
            warnings.warn(story(self.failed, self.world.workers), stacklevel=3)

    def _listen(self) -> None:
        """Read all that comes, at once: rank 0 never waits for whoever takes the rows."""
        deadline = None
        try:
            while self.pipes:
                for pipe in wait(list(self.pipes), timeout=0.5):
                    self._read(pipe)  # [2]  # pyright: ignore
                if (self._stuck() or 0 in self.done) and deadline is None:
                    deadline = time.monotonic() + self.world.timeout + 2 * self.grace
                if self._stuck() and all(map(stopped, self._left())):
                    deadline = min(deadline or math.inf, time.monotonic() + self.grace)
                if deadline and time.monotonic() > deadline:
                    self._give_up()  # [4]
                    break
        except Exception as error:
            self.told.put(error)
        self.told.put(END)

    def _left(self) -> list[Any]:
        return [self.members[rank] for rank in self.pipes.values()]

    def _give_up(self) -> None:
        """Kill those that are left: one that was stopped hears nothing else."""
        for rank in self.pipes.values():
            why = "was stopped by a signal" if stopped(self.members[rank]) else "did not end"
            self.failed.setdefault(rank, ("Stuck", f"{why}, and was killed"))
            self.members[rank].kill()

    def _start(self) -> None:
        try:
            for one in self.members:
                one.start()
        except OSError:
            raise
        except Exception as error:  # of pickling, of many kinds
            raise ValueError(
                f"World.procs: model, loss, data and optimizer go to other processes by pickle, "
                f"and this cannot ({error}): define it in a module, not in a function or lambda"
            ) from None

    def _read(self, pipe: Connection) -> None:
        rank, said = self.pipes[pipe], None
        with contextlib.suppress(EOFError, OSError):
            said = pipe.recv_bytes()
        if said is None:
            del self.pipes[pipe]
            self._ended(rank)  # [3]
            return
        try:
            kind, *content = torch.load(io.BytesIO(said), weights_only=True)
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
        if code == NO_GUARD:
            raise NoGuard(
                "World.procs: put the call under `if __name__ == '__main__':`. Each process reads "
                "the script first, and would start processes of its own"
            )
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code and code < 0
            else f"ended ({code})"
        )
        self.failed[rank] = "Killed", how

    def _stuck(self) -> bool:
        """Return whether a failure is one that the others cannot do without."""
        return bool(self.failed) and (not self.world.elastic or 0 in self.failed)

    def stop(self) -> None:
        """End all processes, so that nobody is left behind."""
        for how in ("terminate", "kill"):
            for one in self.members:
                if one.is_alive():
                    getattr(one, how)()
            for one in self.members:
                if one.pid:
                    one.join(self.grace)
        if self.listener.is_alive():
            self.listener.join(self.grace)
        self.place.close()


def stopped(process: Any) -> bool:
    """Whether a signal has stopped a process (SIGSTOP, Ctrl-Z); where that cannot be known, no."""
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state[:1] == ["T"]


def story(failed: Mapping[int, tuple[str, str]], workers: int) -> str:
    """Say what failed: causes first, lost touch after them, and what many say only once."""
    said: dict[tuple[bool, str], list[int]] = {}
    for rank, (kind, text) in sorted(failed.items()):
        said.setdefault((kind == PeerLost.__name__, text), []).append(rank)
    lines = [
        text if lost else f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}: {text}"
        for (lost, text), ranks in sorted(said.items(), key=lambda item: item[0][0])
    ]
    return "\n  ".join([f"{len(failed)} of {workers} processes failed:", *lines])


def spawn(world: World, task: Callable[..., Iterator[Any]], args: tuple) -> Iterator[Any]:
    """Yield the rows of rank 0; nobody is left behind, however it ends.

    Raises:
        NoGuard: the script would start itself again.
        ValueError: something cannot travel.
        WorkerError: a process failed that the others cannot do without.
    """
    end_readers()
    procs = Procs(world, task, args)
    try:
        yield from procs.rows()
    finally:
        procs.stop()


def end_readers() -> None:
    """End this process if it is one of those that were started, and still reads the script."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(NO_GUARD)


def preloaded(task: Callable) -> list[str]:
    """Return what the fork server loads; never the script, which would run there."""
    own = getattr(task, "__module__", None)
    return [*PRELOADED, *([own] if own and own != "__main__" else [])]
