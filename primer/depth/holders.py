"""Who holds which part of which tensor, read off trainings of `parallel` that have made a step.

A `Held` has a mask of workers x samples of the batch, one of workers x numbers for each kind, where
all numbers of the net stand in a row, and the bytes that all workers sent in the step: by theory,
and as they were counted.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from parallel import Pipeline, World, train
from parallel.pipeline.cut import cut
from parallel.strategy import make
from parallel.subnets.slices import pieces
from parallel.training.training import Training
from parallel.world.comm import Comm

KINDS: tuple[str, ...] = ("parameters", "gradients", "optimizer")
MOMENTUM: Any = partial(torch.optim.SGD, lr=0.01, momentum=0.9)


@dataclass(frozen=True)
class Held:
    """What is where, and bytes that all workers send in a step."""

    samples: np.ndarray
    kinds: dict[str, np.ndarray]
    theory: float
    counted: float
    row: dict[str, Any]


def places(net: nn.Module) -> dict[str, torch.Tensor]:
    """Return for each parameter the places of its numbers in the row."""
    found, at = {}, 0
    for name, p in net.named_parameters():
        found[name] = torch.arange(at, at + p.numel()).view(p.shape)
        at += p.numel()
    return found


def of_strategy(name: str, net: nn.Module, data: Data, n: int, batch: int, **options: Any) -> Held:
    """Return what n workers under a strategy hold, once they have made a step."""
    strategy: Any = make(name, **options)
    training = Training(net, data, F.cross_entropy, MOMENTUM, strategy, Comm(n),
                        batch_size=batch, seed=0)  # fmt: skip
    training.step()
    row, states = training.row(), _states(training)
    own: dict[str, np.ndarray] = {kind: _whole(net, n) for kind in KINDS}
    if strategy.holds == "slices":
        first = {"parameters": 3, "gradients": 2, "optimizer": 1}
        sliced = _mask(net, [_slices(places(net), parts) for parts in states.parts])
        own |= {kind: sliced for kind in KINDS if strategy.stage >= first[kind]}
    if strategy.holds == "subnets":
        given = [pieces(places(net), states.chain, parts) for parts in states.parts]
        cuts = _mask(net, [torch.cat([v.flatten() for v in one.values()]) for one in given])
        own = dict.fromkeys(KINDS, cuts)
    drawn: list[Any] = [list(map(int, index)) for index in training.shards.at(1)]
    samples = np.array([[k in mine for one in drawn for k in one] for mine in drawn])
    return Held(samples, own, row["bytes_theory"], row["bytes_payload"], row)


def of_pipeline(net: nn.Module, data: Data, n: int, batch: int) -> Held:
    """Return what the stages of a pipeline hold, and what crosses between them."""
    how = Pipeline(stages=n, micro=n)
    trained = train(net, data, strategy=how, world=World.sim(n), steps=1, every=1,
                    batch_size=batch, optimizer=MOMENTUM, measured=True)  # fmt: skip
    facts, at = trained.facts(), places(net)
    stages = cut(net, n, trained.layer_split, data.train_x[:1]).modules
    names = {id(p): name for name, p in net.named_parameters()}
    own = [torch.cat([at[names[id(p)]].flatten() for p in m.parameters()]) for m in stages]
    theory, counted = facts["boundary_bytes_theory"], facts["boundary_bytes_counted"]
    kinds = dict.fromkeys(KINDS, _mask(net, own))
    return Held(np.ones((n, batch), bool), kinds, theory, counted, facts)


def _states(training: Training) -> Any:
    return training.executor.states


def _whole(net: nn.Module, n: int) -> np.ndarray:
    return np.ones((n, sum(p.numel() for p in net.parameters())), bool)


def _slices(at: dict[str, torch.Tensor], parts: Any) -> torch.Tensor:
    return torch.cat([at[name].flatten()[begin:end] for name, begin, end in parts])


def _mask(net: nn.Module, own: list[torch.Tensor]) -> np.ndarray:
    found = ~_whole(net, len(own))
    for worker, numbers in enumerate(own):
        found[worker, numbers.numpy()] = True
    return found
