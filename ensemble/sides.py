"""One side of a comparison at equal budgets: its nets, trained side by side, and what they cost.

side = Side(config, data, seed)
for _ in range(config.epochs):
    side.run()                      one pass over the data
side.answers(x)                     log-probabilities (members, samples, classes)
side.finished()                     the members as nets of their own (packed, exits: one net)

Members whose connections move or are pruned make steps of their own, so each is trained alone; all
others are one stack. The exits of a net answer as members do, and learn from one batch together.
"""

import time
from functools import partial
from typing import Any

import torch
from torch import nn

from ensemble import compressed
from ensemble.combine import pooled
from ensemble.fit.group import Group, Task
from ensemble.fit.samples import CHUNK, member_seed
from ensemble.fit.stacking import Stacked
from ensemble.nets import build
from ensemble.plans.budget import Budget
from harness.data import Data
from harness.exits.exits import EarlyExit


class Side:
    """Nets of one kind; `state_dict` holds them between two passes.

    Args:
        config: Which, and how they are trained.
        data: What they learn.
        seed: Of their starts, designs and orders.
    """

    def __init__(self, config: Budget, data: Data, seed: int):
        self.config, self.members = config, config.answers
        self.nets = build(config, data, seed)
        seeds = [member_seed(seed, m) for m in range(self.members)]
        shared = len(self.nets) < self.members  # (then all answers come from the same batches)
        self.seeds = seeds[:1] * self.members if shared else seeds
        way = partial(compressed.way, config) if config.alone else None
        sizes = config.epochs, config.batch_size
        task = Task(data.train_x, data.train_y, *sizes, self._sgd, cosine, way=way)
        self.groups = [Group(part, own, task) for part, own in self._parts()]
        self.logp: dict[str, torch.Tensor] = {}

    def _parts(self) -> list[tuple[Stacked | nn.Module, list[int]]]:
        """Return what is trained at once, and the seeds of its members."""
        if self.config.alone:
            return [(net, [seed]) for net, seed in zip(self.nets, self.seeds, strict=True)]
        if len(self.nets) < self.members:
            return [(Packed(self.nets[0]), self.seeds)]
        return [(Stacked(self.nets) if self.members > 1 else self.nets[0], self.seeds)]

    def _sgd(self, parameters: Any) -> torch.optim.Optimizer:
        lr, momentum = self.config.lr, self.config.momentum
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)

    @property
    def passes(self) -> int:
        """Passes over the data so far."""
        return self.groups[0].epoch

    @property
    def steps(self) -> int:
        """Steps of a pass, which each member makes."""
        return self.groups[0].steps

    def run(self) -> float:
        """Train one pass; returns the mean loss of the members."""
        return float(torch.cat([group.run() for group in self.groups], 1).double().mean())

    def epoch(self, data: Data) -> dict[str, Any]:
        """Train one pass; returns its row, with CPU times, and keeps what members answer."""
        begin = time.process_time()
        loss = self.run()
        middle = time.process_time()
        self.logp["test"] = self.answers(data.test_x)
        end = time.process_time()
        if self.passes == self.config.epochs:
            self.logp["validation"] = self.answers(data.validation_x)  # pyright: ignore
        right = pooled(self.logp["test"]).argmax(-1) == data.test_y.cpu()
        found = {"train_loss": loss, "test_accuracy": float(right.double().mean())}
        return found | {"train_time": middle - begin, "inference_time": end - middle}

    @torch.no_grad()
    def answers(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities (members, samples, classes) of the nets, in float64."""
        nets = [group.net.eval() for group in self.groups]
        each = self.members // len(nets)
        found = [
            torch.cat([_logits(net, part, each) for net in nets]).double().cpu()
            for part in x.split(CHUNK)
        ]
        return torch.log_softmax(torch.cat(found, 1), -1)

    def finished(self) -> list[nn.Module]:
        """Return the nets as they are used: pruned ones without what was pruned."""
        if self.config.designs != "pruned":
            return self.nets
        return [compressed.frozen(net, group.way) for net, group in zip(
            self.nets, self.groups, strict=True)]  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on, with the last answers."""
        return {"groups": [group.state_dict() for group in self.groups], "logp": self.logp}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for group, saved in zip(self.groups, state["groups"], strict=True):
            group.load_state_dict(saved)
        self.logp = state["logp"]


def _logits(net: nn.Module, x: torch.Tensor, members: int) -> torch.Tensor:
    return net(x)[None] if members == 1 else net(x.expand(members, *x.shape))


class Packed(Stacked):
    """A net that gives several answers in the place of a stack: all read one and the same batch."""

    def __init__(self, net: nn.Module):
        self.nets, self.net = [net], _First(net)

    def write(self) -> None:
        """Do nothing: the net itself is trained."""


class _First(nn.Module):
    """Gives a net that answers several times the first of equal inputs."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self.net, EarlyExit):
            return torch.stack(self.net.forward_exits(x[0]))
        return self.net(x[0])


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule by which the rate falls to 0 over so many steps."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
