"""Exchanges among all workers by direct messages, which coded gradients need.

    gathered(comm, rows)             each gives its own to all others
    by_slices(comm, rows, reduce)    each reduces a slice of all, and gives it to all others

In one process nothing moves, and the bytes are counted that would have. A header (HEADER) goes
along to everybody, and is not counted.
"""

from collections.abc import Callable

import torch

from parallel.world.comm import HEADER, Comm, State, size
from parallel.world.ops import Message

NUMBERS = "numbers"  # the one tensor that by_slices cuts: (workers here, how many)


def gathered(comm: Comm, rows: State) -> State:
    """Return the rows of all workers, in the order of their ranks."""
    if comm.alone:
        comm.count(comm.workers * (comm.workers - 1) * size(rows), True)
        return rows
    own = {k: v[0] for k, v in rows.items()}
    return _stacked(comm, _exchanged(comm, lambda rank: own, lambda rank: own))


def by_slices(comm: Comm, rows: State, reduce: Callable[[torch.Tensor], torch.Tensor]) -> State:
    """Return what `reduce` makes of all workers' rows, number by number."""
    if comm.alone:
        comm.count(2 * (comm.workers - 1) * size(rows), True)
        return {k: reduce(v) for k, v in rows.items()}
    told = {k: v[0] for k, v in rows.items() if k == HEADER}
    slices = rows[NUMBERS][0].tensor_split(comm.workers)
    parts = [told | _some(part) for part in slices]
    came = _exchanged(comm, lambda rank: parts[rank], lambda rank: parts[comm.rank])
    found = {k: reduce(v) for k, v in _stacked(comm, came).items()}
    mine = _some(found.pop(NUMBERS, slices[comm.rank]))
    came = _exchanged(comm, lambda rank: mine, lambda rank: _some(slices[rank]))
    whole = [came[rank, comm.rank].get(NUMBERS, slices[rank]) for rank in range(comm.workers)]
    return found | {NUMBERS: torch.cat(whole)}


def _exchanged(
    comm: Comm, to: Callable[[int], State], like: Callable[[int], State]
) -> dict[Message, State]:
    """Send `to(rank)` to each, and return what came, which has the form of `like(rank)`."""
    me, everybody = comm.rank, range(comm.workers)
    out = {(me, rank): to(rank) for rank in everybody if to(rank)}
    return {(rank, me): {} for rank in everybody} | comm.wait(
        comm.post(out, {(rank, me): like(rank) for rank in everybody if like(rank)})
    )


def _stacked(comm: Comm, came: dict[Message, State]) -> State:
    each = [came[rank, comm.rank] for rank in range(comm.workers)]
    return {k: torch.stack([one[k] for one in each]) for k in each[0]}


def _some(part: torch.Tensor) -> State:
    """Return a slice as what is sent; an empty one is not."""
    return {NUMBERS: part} if len(part) else {}
