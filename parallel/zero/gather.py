"""Gives the own slices, once stepped, to all others, who write them into their models.

Unit by unit: what is on its way is a copy.
"""

from parallel.world.comm import Comm, State
from parallel.zero.slices import Slices

Message = tuple[int, int]


def gather(slices: Slices, comm: Comm) -> None:
    """Send the own slices to all others, and write theirs into the models here."""
    for unit in range(len(slices.layout.units)):
        _gather(slices, comm, unit)


def _gather(slices: Slices, comm: Comm, unit: int) -> None:
    layout, every = slices.layout, range(comm.workers)
    parts = [layout.parts(rank, unit) for rank in every]
    out: dict[Message, State] = {}
    expect: dict[Message, State] = {}
    for i, rank in enumerate(comm.ranks):
        named = {part.name: slices.values(i, part.name) for part in parts[rank]}
        values = layout.joined(parts[rank], named)
        out |= {(rank, k): values for k in every if k != rank and values}
    for rank in comm.ranks if not comm.alone else ():
        room = {k: layout.empty(parts[k], slices.device()) for k in every if k != rank}
        expect = {(k, rank): like for k, like in room.items() if like}
    for (k, rank), values in comm.wait(comm.post(out, expect)).items():
        for part, value in layout.split(parts[k], values):
            into = slices.values(comm.ranks.index(rank), part.name)
            into[part.begin : part.end].copy_(value)
