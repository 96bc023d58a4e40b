"""The whole net from the stages of all ranks, as its own state dict, on rank 0."""

import torch
from torch import nn

from parallel.pipeline.actions import Table
from parallel.pipeline.cut import Parts
from parallel.world.comm import Comm

State = dict[str, torch.Tensor]


def gathered(model: nn.Module, table: Table, parts: Parts, comm: Comm) -> State:
    """The state dict of the net: its true weights and running statistics.

    Every rank holds the net, of which it trains its own stages; on rank 0 the others' come in.
    """
    if not comm.alone:
        each = {r: _of(table, parts, r) for r in range(comm.workers)}
        rank, expect = comm.rank, {}
        out = {(rank, 0): each[rank]} if rank and each[rank] else {}
        if rank == 0:
            expect = {(r, 0): state for r, state in each.items() if r and state}
        got = comm.wait(comm.post(out, expect, counted=False))
        for (r, _), state in got.items():
            for name, value in state.items():
                each[r][name].copy_(value)
    return model.state_dict()


def _of(table: Table, parts: Parts, rank: int) -> State:
    """Everything that the stages of a rank hold, as it lies in the net."""
    found = {}
    for k, module in enumerate(parts.modules):
        if table.home[k] == rank:
            found |= {f"{k}.{n}": v.detach() for n, v in module.state_dict().items()}
    return found
