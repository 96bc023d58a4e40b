"""Carries a plan out over parallel's Comm: in one process, or over the Wire between several.

Each worker has a flat tensor, the rows {worker: tensor} are those of the workers here. `post` and
`wait` of the world do the rest, and count the bytes.
"""

from collections.abc import Iterator

import torch

from parallel.world.comm import Comm
from primer.allreduce.ways import WAYS, Move, Plan

Rows = dict[int, torch.Tensor]


def all_reduce(way: str, comm: Comm, rows: Rows) -> Rows:
    """Return, for each worker here, the sum over all workers."""
    plan = WAYS[way](comm.workers)
    found = {i: filled(row, plan.slices) for i, row in rows.items()}
    for _ in steps(plan, comm, found):
        pass
    return {i: found[i][: len(row)] for i, row in rows.items()}


def filled(row: torch.Tensor, slices: int) -> torch.Tensor:
    """Return a copy with zeros at its end, which so many slices divide."""
    return torch.cat([row, row.new_zeros(-len(row) % slices)])


def steps(plan: Plan, comm: Comm, rows: Rows) -> Iterator[tuple[Move, ...]]:
    """Make a round after the other, in place; yields each round that was made."""
    for moves in plan.rounds:
        here = {(m.source, m.target): m for m in moves}
        sent = {k: {"x": _cut(plan, m, rows[k[0]])} for k, m in here.items() if k[0] in rows}
        due = {k: {"x": _cut(plan, m, rows[k[1]])} for k, m in here.items() if k[1] in rows}
        got = comm.wait(comm.post(sent, due))
        for k in due:
            mine = due[k]["x"]
            mine.copy_(mine + got[k]["x"] if here[k].adds else got[k]["x"])
        yield moves


def _cut(plan: Plan, move: Move, row: torch.Tensor) -> torch.Tensor:
    """Return a view of the slices that move."""
    width = len(row) // plan.slices
    return row[move.first * width : move.last * width]
