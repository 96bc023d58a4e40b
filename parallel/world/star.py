"""Means over ranks that live, through rank 0: what an elastic world has instead of a ring."""

from collections.abc import Callable, Sequence

import torch

from parallel.world import packing
from parallel.world.comm import Comm, State, normal
from parallel.world.faults import Faults

WEIGHT = "weight of this worker"
Parts = list[tuple[torch.Tensor, ...]]


def star(
    comm: Comm, faults: Faults, own: State, reduce: Callable[[Parts], Sequence[torch.Tensor]]
) -> list[torch.Tensor]:
    """Return what `reduce` makes of the buffers of all that live; rank 0 takes and gives."""
    if comm.rank:
        comm.wait(comm.post({(comm.rank, 0): own}, {}, counted=False))
        got = comm.wait(comm.post({}, {(0, comm.rank): own}, counted=False))
        if 0 in comm.dead:
            faults.blame(comm.at, RuntimeError("rank 0 is gone"), [0])
        return packing.pack(got[0, comm.rank])
    others = range(1, comm.workers)
    got = comm.wait(comm.post({}, {(r, 0): own for r in others}, counted=False))
    parts = [packing.pack(own), *map(packing.pack, got.values())]
    mixed = list(reduce(list(zip(*parts, strict=True))))
    whole = packing.unpack(mixed, own)
    comm.wait(comm.post({(0, r): whole for r in others}, {}, counted=False))
    return mixed


def living_mean(comm: Comm, faults: Faults, own: State, weight: float) -> State:
    """Return the weighted mean over those who live; a plain one if only the dead had weight."""
    sent = own | {WEIGHT: torch.tensor(weight, dtype=torch.float64)}
    found = packing.unpack(star(comm, faults, sent, lambda parts: weighed(parts, sent)), sent)
    return {k: found[k] for k in own}


def weighed(parts: Parts, like: State) -> list[torch.Tensor]:
    """Return the mean of what came, each by the weight that came with it."""
    came = [packing.unpack(one, like) for one in zip(*parts, strict=True)]
    shares = normal([float(one[WEIGHT]) for one in came])
    pairs = list(zip(shares, came, strict=True))
    return packing.pack({k: sum(s * one[k] for s, one in pairs) for k in like})  # pyright: ignore


def living_numbers(comm: Comm, faults: Faults, value: float) -> list[float]:
    """Return a number of each rank that lives."""
    own = torch.zeros(comm.workers, dtype=torch.float64)
    own[comm.rank] = value
    (known,) = star(comm, faults, {"": own}, lambda parts: [torch.stack(parts[0]).sum(0)])
    return [v for r, v in enumerate(known.tolist()) if r not in comm.dead]
