"""Trains the small task in processes by torch's own classes, to which slices are compared.

ddp                DistributedDataParallel: every rank holds all
zero_redundancy    the same with ZeroRedundancyOptimizer: each tensor's state is with one rank
fully_shard        torch.distributed.fsdp.fully_shard: each rank has rows of each tensor
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from harness.data import Data
from parallel.identities.averaging import MOMENTUM, SEED, STEPS, Maker, apart, net, task
from parallel.strategy import Strategy
from parallel.training.shards import Shards
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.world import World

Optimizer = torch.optim.Optimizer
Made = tuple[nn.Module, Optimizer]
ADAM = partial(torch.optim.AdamW, lr=0.05)
FULL = (2, 7)  # the first torch whose fully_shard runs on a CPU


def ddp(model: nn.Module, optimizer: partial[Optimizer]) -> Made:
    """Return the wrapped model and its optimizer."""
    wrapped = DistributedDataParallel(model)
    return wrapped, optimizer(wrapped.parameters())


def zero_redundancy(model: nn.Module, optimizer: partial[Optimizer]) -> Made:
    """Return the wrapped model, and the optimizer that deals out tensors."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    wrapped = DistributedDataParallel(model)
    words = wrapped.parameters(), optimizer.func
    return wrapped, ZeroRedundancyOptimizer(*words, **optimizer.keywords)  # pyright: ignore


def fully_shard(model: nn.Module, optimizer: partial[Optimizer], between: bool = True) -> Made:
    """Return the model in shards, layer by layer; `between` passes it has shards only."""
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard as shard

    options: Any = dict(
        mesh=init_device_mesh("cpu", (get_world_size(),)), reshard_after_forward=between
    )
    for layer in model.children():
        if any(True for _ in layer.parameters()):
            shard(layer, **options)
    shard(model, **options)
    return model, optimizer(model.parameters())


KINDS: dict[str, Callable[..., Made]] = {
    "ddp": ddp,
    "zero_redundancy": zero_redundancy,
    "fully_shard": fully_shard,
}
TITLES = {
    "ddp": "DDP",
    "zero_redundancy": "ZeroRedundancyOptimizer",
    "fully_shard": "fully_shard",
}


def missing(kind: str, version: str = torch.__version__) -> str:
    """Return why one of them does not run with this torch; nothing where it does."""
    if kind == "fully_shard" and tuple(int(v) for v in version.split(".")[:2]) < FULL:
        return f"fully_shard runs on a CPU from torch 2.7 on, and this is {version}"
    return ""


def notes(world: str) -> list[str]:
    """Return what slices are not compared to here, and why."""
    return [why for why in map(missing, KINDS) if why and world == "procs"]


def as_torch(maker: Maker, kind: str, workers: int = 2) -> float:
    """Compare the weights to those that torch's own come to, in processes, with two optimizers."""
    *_, found = run(World.procs(workers, timeout=30), beside, kind, maker())
    return found


def beside(comm: Comm, kind: str, strategy: Strategy) -> Iterator[float]:
    """Train by us and by torch, as one process of a world, and yield how far both are apart."""
    whole, worst = task(), 0.0
    some = len(whole.train_y) // comm.workers * comm.workers  # (torch's means count ranks alike)
    data = replace(whole, train_x=whole.train_x[:some], train_y=whole.train_y[:some])
    for optimizer in (partial(torch.optim.SGD, **MOMENTUM), ADAM):
        words = net, data, F.cross_entropy, optimizer, strategy
        ours = Training(*words, comm, batch_size=4 * comm.workers, seed=SEED)
        for _ in range(STEPS):
            ours.step()
        theirs = steps_of(KINDS[kind](net(), optimizer), data, ours.shards, comm.rank)
        worst = max(worst, apart(ours.executor.consensus(), theirs))
    yield worst


def steps_of(made: Made, data: Data, shards: Shards, rank: int) -> dict[str, torch.Tensor]:
    """Train as far; returns the whole weights by the names of the bare model."""
    model, optimizer = made
    for step in range(1, STEPS + 1):
        index = shards.at(step)[rank]
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_x[index]), data.train_y[index]).backward()
        optimizer.step()
    held = getattr(model, "module", model).state_dict()
    return {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in held.items()}
