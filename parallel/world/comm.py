"""Defines how workers reach the others. In one process (this file) nobody has to be reached.

    combine(ops, rows, table)    sum_k table[i][k] * state of k, for the workers here
    mean(rows, counts)           weighted mean over all workers, for each worker here; or over
                                 each group of `among` workers in a row
    post(messages, expect)       {(from, to): tensors} go on their way; a ticket for what is due
    wait(ticket)                 {(from, to): tensors}: those that came to workers here

`parallel.world.wire` does the same between processes. `sent` counts the bytes that workers here
have sent (in one process: would have sent); what is only for telemetry is counted by `told`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from parallel.world.ops import CENTRE, Message, Op, host, ring, traffic

State = dict[str, torch.Tensor]
HEADER = ".header"  # travels with gradients and says whose they are: not counted
Table = dict[int, dict[int, float]]


@dataclass
class Ticket:
    """What was posted and still has to be waited for; tickets may be waited for in any order."""

    here: dict[Message, State]  # what needs no way: it is here already
    expect: Mapping[Message, State] = field(default_factory=dict)
    buffers: dict[Message, list[torch.Tensor]] = field(default_factory=dict)
    works: list[tuple[int, Message, Any]] = field(default_factory=list)  # whose, which, the wait
    lost: set[Message] = field(default_factory=set)


class Comm:
    """All workers in this process: rows of tensors, mixed by one product."""

    rank = 0  # of this process
    alone = True  # nothing leaves this process
    elastic = False
    timeout = 0.0
    whose = ""  # which part of a larger world this is, for messages

    def __init__(self, workers: int):
        self.workers, self.ranks = workers, list(range(workers))
        self.sent = self.told = 0.0
        self.dead: set[int] = set()
        self.at = "the start"  # where this process is, for messages

    def combine(self, ops: Sequence[Op], rows: State, table: Table) -> State:
        """Mix states by one matrix product per tensor: rows that change, times those they need."""
        self.sent += traffic(ops, self.workers, size(rows))
        refuse(rows, [*self.ranks, CENTRE])
        changed = sorted(table, key=self.place)
        needed = sorted({k for row in table.values() for k in row}, key=self.place)
        lines = [[table[i].get(k, 0.0) for k in needed] for i in changed]
        matrix = torch.tensor(lines, dtype=torch.float64)
        to, of = ([self.place(k) for k in ids] for ids in (changed, needed))
        found = {}
        for name, value in rows.items():
            flat = value.reshape(len(value), -1)
            new = torch.zeros_like(flat)
            new[to] = matrix.to(flat) @ flat[of]
            found[name] = new.view(value.shape)
        return found

    def count(self, sent: float, counted: bool) -> None:
        """Take note of bytes that workers here send, for the training or as telemetry."""
        if counted:
            self.sent += sent
        else:
            self.told += sent

    def place(self, worker: int) -> int:
        """Return the row of a worker; the centre has the last."""
        return len(self.ranks) if worker == CENTRE else self.ranks.index(worker)

    def mean(
        self,
        rows: State,
        counts: Sequence[float],
        counted: bool = True,
        finite: bool = True,
        among: int = 0,
    ) -> State:
        """Return the mean, the same for all (of a group); with `finite`, others are refused."""
        self.count(ring(self.workers, among) * size(rows), counted)
        if counted and finite:
            refuse(rows, self.ranks)
        if among in (0, self.workers):
            weights = normal(counts)
            return {k: _mean(v, weights) for k, v in rows.items()}
        groups = [slice(r, r + among) for r in range(0, self.workers, among)]
        return {
            k: torch.cat([_mean(v[own], normal(counts[own])) for own in groups])
            for k, v in rows.items()
        }

    def post(
        self,
        messages: Mapping[Message, State],
        expect: Mapping[Message, State],
        counted: bool = True,
    ) -> Ticket:
        """Begin to send, and to receive; the tensors may change again as soon as this returns.

        Args:
            messages: What workers here send, by (from, to).
            expect: Tensors of the same names and sizes as those that will come to workers here.
            counted: Part of the training (else telemetry): its bytes are counted, here and once.
        """
        sent = sum(nbytes(v) for (i, j), v in messages.items() if host(i) != host(j))
        self.count(sent, counted)
        return Ticket(kept(messages))

    def wait(self, ticket: Ticket) -> dict[Message, State]:
        """Return the messages that came to workers here, once all of the ticket's are there."""
        return ticket.here

    def number(self, rank: int) -> int:
        """Return which rank of the whole world this one is."""
        return rank

    def everyone(self, value: float) -> list[float]:
        """Return a number of each process."""
        return [value]

    def agree(self, step: int, digest: int, now: bool = False) -> None:
        """Check that all processes are at the same place, every now and then, or now."""

    def close(self) -> None:
        """Leave the others, as nothing is left to be said."""


class NotFinite(ArithmeticError):
    """Raised for NaN or infinity where it would have spread to others."""


def refuse(rows: State, ids: Sequence[int]) -> None:
    """Refuse to send what is not finite.

    Raises:
        NotFinite: names the worker and the tensor.
    """
    for name, value in rows.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.sum())):
            for i, row in zip(ids, value, strict=False):
                if not bool(torch.isfinite(row).all()):
                    raise NotFinite(
                        f"worker {i} has NaN or infinity in {name}: it was not sent. Lower the "
                        "learning rate, or look at that worker's data"
                    )


def kept(messages: Mapping[Message, State]) -> dict[Message, State]:
    """Return copies, which are what is sent; a state that goes to many is copied once."""
    copies = {id(v): {k: t.detach().clone() for k, t in v.items()} for v in messages.values()}
    return {m: copies[id(v)] for m, v in messages.items()}


def _mean(value: torch.Tensor, weights: list[float]) -> torch.Tensor:
    flat = value.reshape(len(value), -1)
    one = torch.tensor([weights], dtype=torch.float64).to(flat) @ flat
    return one.view(1, *value.shape[1:]).expand(value.shape)


def normal(counts: Sequence[float]) -> list[float]:
    """Return the shares of the whole; all alike where nobody has anything."""
    whole = sum(counts)
    return [c / whole for c in counts] if whole else [1 / len(counts)] * len(counts)


def size(rows: State) -> float:
    """Return the bytes of one worker's row."""
    return sum(v[0].numel() * v.element_size() for k, v in rows.items() if k != HEADER)


def nbytes(value: Any) -> int:
    """Return the bytes of a message: a tensor or a dict of them, without its header."""
    if isinstance(value, dict):
        return sum(nbytes(v) for k, v in value.items() if k != HEADER)
    return value.numel() * value.element_size()
