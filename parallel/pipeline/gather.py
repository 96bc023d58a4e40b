"""The whole net from the stages of all ranks, as its own state dict, on rank 0.

Its weights are those of replica 0, as all replicas have the same. Running statistics are each
replica's own, of its own samples: the net has their mean. Counters are those of replica 0.
"""

from collections.abc import Sequence

import torch
from torch import nn

from parallel.pipeline.actions import Table
from parallel.pipeline.cut import Parts
from parallel.pipeline.joint import added
from parallel.replicas.replicas import float_buffers
from parallel.world.comm import Comm

State = dict[str, torch.Tensor]


@torch.no_grad()
def gathered(
    model: nn.Module, table: Table, parts: Sequence[Parts], comm: Comm, replicas: int
) -> State:
    """The state dict of the net: its true weights and running statistics.

    Every rank holds the net, of which it trains its own stages; on rank 0 the others' come in.

    Args:
        model: The net of the first replica here.
        table: Says which stages are where.
        parts: The stages of each replica that is here.
        comm: Reaches all ranks of all replicas.
        replicas: How many there are.
    """
    if comm.alone:
        return _averaged(model, [_statistics(one) for one in parts])
    lane, rank = len(table.ranks), comm.rank
    each = {r: _of(table, parts[0], r % lane, r >= lane) for r in range(comm.workers)}
    out = {(rank, 0): each[rank]} if rank and each[rank] else {}
    expect = {(r, 0): state for r, state in each.items() if r and state} if rank == 0 else {}
    got = comm.wait(comm.post(out, expect, counted=False))
    for (r, _), state in got.items():
        for name, value in state.items() if r < lane else ():
            each[r][name].copy_(value)
    if rank:
        return model.state_dict()
    every = [_statistics(parts[0])]
    for k in range(1, replicas):
        came = (got.get((r, 0), {}) for r in range(k * lane, (k + 1) * lane))
        every.append({name: value for state in came for name, value in state.items()})
    return _averaged(model, every)


def _of(table: Table, parts: Parts, rank: int, statistics: bool) -> State:
    """Everything that the stages of a rank hold, as it lies in the net; or running statistics."""
    found = {}
    for k, module in enumerate(parts.modules):
        if table.home[k] == rank:
            held = float_buffers(module) if statistics else module.state_dict()
            found |= {f"{k}.{n}": v.detach() for n, v in held.items()}
    return found


def _statistics(parts: Parts) -> State:
    """Running statistics of all stages."""
    each = ((k, float_buffers(module)) for k, module in enumerate(parts.modules))
    return {f"{k}.{n}": v for k, held in each for n, v in held.items()}


def _averaged(model: nn.Module, every: Sequence[State]) -> State:
    """The net's state dict, with the mean of all replicas' running statistics, the net's first."""
    found: State = dict(model.state_dict())
    if len(every) == 1:
        return found
    first, *others = every
    apart = added([{n: v - first[n] for n, v in one.items()} for one in others])
    means = {v.data_ptr(): v + apart[n] / len(every) for n, v in first.items() if v.numel()}
    return found | {n: means[v.data_ptr()] for n, v in found.items() if v.data_ptr() in means}
