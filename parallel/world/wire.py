"""Exchanges between processes: one worker each, over torch.distributed.

Every wait ends after `timeout` seconds, and says who it was (parallel.world.faults). Messages are
one flat buffer per dtype. With `elastic`, a peer that is gone is left out from then on; means over
all then go through rank 0, which has to live (parallel.world.star).
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from parallel.world import interface, packing, star
from parallel.world.aside import Aside
from parallel.world.comm import Comm, State, Table, Ticket, kept, nbytes, normal, refuse, size
from parallel.world.environment import from_environment
from parallel.world.faults import Faults, PeerLost
from parallel.world.group import Group
from parallel.world.ops import CENTRE, Message, Op, host, messages, ring
from parallel.world.rendezvous import store_of
from parallel.world.world import World

#        rank i                                       rank j
#  [1]   refuse what is not finite                    (the same)
#  [2]   pack: a buffer per dtype
#  [3]   isend to j, irecv from j  ───────┐  ┌──────  irecv from i, isend to i
#            both in the order of (from, to): the k-th send of a pair meets its k-th receive
#        .... the caller works ....       │  │        .... the caller works ....
#  [4]   wait, `timeout` s for all  ◄─────┼──┘
#                                         └────────►  wait
#  [5]   closed, and elastic: j is dead from now on, its message is lost; else read the notes
#        and say who it was
#  [6]   unpack what came
#  [7]   add up by the table; the weight of who did not come goes to oneself


class Wire(Comm):
    """One rank of several processes, with the methods of Comm."""

    alone = False

    def __init__(self, rank: int, workers: int, store: Any, timeout: float, elastic: bool):
        super().__init__(workers)
        self.rank, self.ranks = rank, [rank]
        self.timeout, self.elastic = timeout, elastic
        self.group = Group(timeout)
        self.faults = Faults(store, rank, workers, timeout)
        self.aside = Aside(self.group, self.faults)

    def place(self, worker: int) -> int:
        """Return the row of a worker that lives here."""
        return 1 if worker == CENTRE else 0

    def combine(self, ops: Sequence[Op], rows: State, table: Table) -> State:
        """Send and receive whole states, then add up what came."""
        refuse(rows, [self.rank, CENTRE])  # [1]
        every = messages(ops)
        out = {m: _row(rows, self.place(m[0])) for m in every if host(m[0]) == self.rank}
        like = _row(rows, 0)
        expect = {m: like for m in every if host(m[1]) == self.rank}
        got = self.wait(self.post(out, expect))
        found = {name: torch.zeros_like(value) for name, value in rows.items()}
        for i, row in table.items():
            if host(i) == self.rank:
                self._add_up(found, rows, i, row, got)  # [7]
        return found

    def _add_up(self, found: State, rows: State, i: int, row: dict[int, float], got) -> None:
        """Return row i of the table; the weight of those who did not come goes to i itself."""
        came = {k: w for k, w in row.items() if k != i and (k, i) in got}
        own = sum(w for k, w in row.items() if k not in came)
        to = self.place(i)
        for name, value in rows.items():
            total = value[to] * own
            for k in sorted(came):
                total = total + got[k, i][name] * came[k]
            found[name][to] = total

    def post(
        self,
        messages: Mapping[Message, State],
        expect: Mapping[Message, State],
        counted: bool = True,
    ) -> Ticket:
        """Post all sends and receives, in one order on all ranks, without waiting for any."""
        if not counted and not self.elastic:
            self.aside.tell(self.at)
        group = None if counted else self.group.aside
        here = {m: messages[m] for m in expect if host(m[0]) == self.rank}
        ticket = Ticket(kept(here), expect)
        for m in sorted({*messages, *expect}):
            source, target = map(host, m)
            if source == target or self.dead & {source, target}:
                continue
            if source == self.rank:
                packed = packing.pack(messages[m])  # [2]
                self.count(nbytes(messages[m]), counted)
                self._begin(ticket, target, m, partial(dist.isend, group=group), packed)
            elif target == self.rank:
                ticket.buffers[m] = packing.empty(expect[m])
                receive = partial(dist.irecv, group=group)
                self._begin(ticket, source, m, receive, ticket.buffers[m])
        return ticket

    def _begin(self, ticket: Ticket, peer: int, m: Message, how: Callable, buffers: list) -> None:
        for buffer in buffers:
            try:
                ticket.works.append((peer, m, how(buffer, peer)))  # [3]
            except RuntimeError as error:
                ticket.lost |= self._gone(peer, m, error)

    def wait(self, ticket: Ticket) -> dict[Message, State]:
        """Return all of the ticket's messages, but for the dead's where `elastic` allows it."""
        end = time.monotonic() + self.timeout
        for peer, m, work in ticket.works:
            left = max(end - time.monotonic(), 0.001)  # (0 would be gloo's own limit)
            try:
                work.wait(timedelta(seconds=left))  # [4]
            except RuntimeError as error:
                ticket.lost |= self._gone(peer, m, error)  # [5]
        came = {m: packed for m, packed in ticket.buffers.items() if m not in ticket.lost}
        found = {m: packing.unpack(packed, ticket.expect[m]) for m, packed in came.items()}  # [6]
        return ticket.here | found

    def _gone(self, peer: int, m: Message, error: RuntimeError) -> set[Message]:
        # (after a wait that was too long gloo ends all of its connections: only the dead, whose
        # connection is closed, can be done without)
        if not self.elastic or "timed out" in str(error).lower():
            self.faults.blame(self.at, error, [peer])
        self.dead.add(peer)
        return {m}

    def mean(
        self,
        rows: State,
        counts: Sequence[float],
        counted: bool = True,
        finite: bool = True,
        among: int = 0,
    ) -> State:
        """Return a weighted mean over all ranks, or over the group of this one."""
        if not counted and not self.elastic:
            self.aside.tell(self.at)
        elif counted and finite:
            refuse(rows, self.ranks)  # [1]
        each = among or self.workers
        first = self.rank // each * each
        one, weight = _row(rows, 0), normal(counts[first : first + each])[self.rank - first]
        self.count(ring(self.workers, among) / self.workers * size(rows), counted)
        if self.elastic:
            found = star.living_mean(self, self.faults, one, weight)
        else:
            found = self._ring(one, weight, counted, among)
        return {k: v.unsqueeze(0) for k, v in found.items()}

    def _ring(self, own: State, weight: float, counted: bool, among: int) -> State:
        mixed, ranks = [part * weight for part in packing.pack(own)], ()  # [2]
        for part in mixed:
            try:
                ranks, group, aside = self.group.around(self.rank, self.workers, among)
                dist.all_reduce(part, group=group if counted else aside)  # [3] and [4] at once
            except RuntimeError as error:
                self.faults.blame(self.at, error, None, ranks)  # [5]
        return packing.unpack(mixed, own)  # [6]

    def everyone(self, value: float, among: int = 0) -> list[float]:
        """Return a number of each rank that lives; with `among`, 0 for those in other rows."""
        if self.elastic:
            return star.living_numbers(self, self.faults, value)
        told = [number for number, _ in self.aside.tell(self.at, value, among=among)]
        before = self.rank - self.rank % len(told)
        return [0.0] * before + told + [0.0] * (self.workers - before - len(told))

    def agree(self, step: int, digest: int, now: bool = False) -> None:
        """Check that all are at the same place, in every hundredth round or now.

        Raises:
            Mismatch: says where each rank is.
        """
        self.at = f"{'the end of ' * now}step {step}"
        if not self.elastic:
            self.aside.check(self.at, digest, now)

    def __deepcopy__(self, memo: dict) -> "Wire":
        return self  # the same place in the same group

    def __reduce__(self):
        raise TypeError(
            "a process' place in its group cannot be saved: save net.state_dict() (or "
            "net.training_state(optimizer)), not the wrapper itself"
        )

    def close(self) -> None:
        """Leave the group; this never takes longer than a moment."""
        self.group.close()


def join(world: World) -> Wire:
    """Enter the group that the environment names.

    Raises:
        ValueError: the environment gives no rank, or the port is taken or silent.
        PeerLost: not all ranks came.
    """
    found = from_environment()
    rank, workers = found["RANK"], found["WORLD_SIZE"]
    interface.choose(found["MASTER_ADDR"], found["MASTER_PORT"])
    store = store_of(found, world.timeout)
    comm = Wire(rank, workers, store, world.timeout, world.elastic)
    local = int(os.environ.get("LOCAL_RANK") or rank)
    comm.group.open(store, rank, workers, world.backend, local)
    return comm


@contextlib.contextmanager
def closing(comm: Wire) -> Iterator[Wire]:
    """Leave the group after the block in any case; a failure is told to the others."""
    try:
        yield comm
    except BaseException as error:
        if not isinstance(error, PeerLost | GeneratorExit):
            comm.faults.note(f"{type(error).__name__}: {error}")
        raise
    finally:
        comm.close()


def _row(rows: State, i: int) -> State:
    return {k: v[i] for k, v in rows.items()}
