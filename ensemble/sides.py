"""One side of a comparison at equal budgets: its nets, trained side by side, and what they cost.

side = Side(config, data, seed)
for _ in range(config.epochs):
    side.run()                      one pass over the data
side.answers(x)                     log-probabilities (members, samples, classes)
side.nets                           the members as nets of their own (packed: one net)
"""

import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ensemble.combine import pooled
from ensemble.designs import designed
from ensemble.fit.group import Group, Task
from ensemble.fit.samples import CHUNK, member_seed
from ensemble.fit.stacking import Stacked
from ensemble.fit.training import made
from ensemble.packed import Members, PackedLinear
from ensemble.plans.budget import Budget
from harness.data import Data
from harness.nets.perceptron import mlp


class Side:
    """Nets of one kind; `state_dict` holds them between two passes.

    Args:
        config: Which, and how they are trained.
        data: What they learn.
        seed: Of their starts, designs and orders.
    """

    def __init__(self, config: Budget, data: Data, seed: int):
        self.config, self.members = config, config.members
        self.nets = build(config, data, seed)
        self.seeds = [member_seed(seed, m) for m in range(config.members)]
        task = Task(data.train_x, data.train_y, config.epochs, config.batch_size, self._sgd, cosine)
        self.group = Group(self._joined(), self.seeds, task)
        self.logp: dict[str, torch.Tensor] = {}

    def _joined(self) -> Stacked | nn.Module:
        if self.config.designs == "packed":
            self.seeds = self.seeds[:1] * self.members  # (all read the same batches)
            return Packed(self.nets[0])
        return Stacked(self.nets) if self.members > 1 else self.nets[0]

    def _sgd(self, parameters: Any) -> torch.optim.Optimizer:
        lr, momentum = self.config.lr, self.config.momentum
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)

    def run(self) -> float:
        """Train one pass; returns the mean loss of the members."""
        return float(self.group.run().double().mean())

    def epoch(self, data: Data) -> dict[str, Any]:
        """Train one pass; returns its row, with CPU times, and keeps what members answer."""
        begin = time.process_time()
        loss = self.run()
        middle = time.process_time()
        self.logp["test"] = self.answers(data.test_x)
        end = time.process_time()
        if self.group.epoch == self.config.epochs:
            self.logp["validation"] = self.answers(data.validation_x)  # pyright: ignore
        right = pooled(self.logp["test"]).argmax(-1) == data.test_y.cpu()
        found = {"train_loss": loss, "test_accuracy": float(right.double().mean())}
        return found | {"train_time": middle - begin, "inference_time": end - middle}

    @torch.no_grad()
    def answers(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities (members, samples, classes) of the nets, in float64."""
        net = self.group.net.eval()
        found = [self._logits(net, part).double().cpu() for part in x.split(CHUNK)]
        return torch.log_softmax(torch.cat(found, 1), -1)

    def _logits(self, net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if self.members == 1:
            return net(x)[None]
        return net(x.expand(self.members, *x.shape))

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on, with the last answers."""
        return {"group": self.group.state_dict(), "logp": self.logp}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.group.load_state_dict(state["group"])
        self.logp = state["logp"]


class Packed(Stacked):
    """A packed net in the place of a stack: its members read one and the same batch."""

    def __init__(self, net: nn.Module):
        self.nets, self.net = [net], _First(net)

    def write(self) -> None:
        """Do nothing: the net itself is trained."""


class _First(nn.Module):
    """Gives a net that holds many the first of equal inputs."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x[0])


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule by which the rate falls to 0 over so many steps."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def build(config: Budget, data: Data, seed: int) -> list[nn.Module]:
    """Return the nets of a side with this seed's starts and designs; packed ones are one net."""
    widths = (data.shape[0], *config.hidden, data.classes)
    device = data.train_x.device
    if config.designs == "packed":
        nets = made(partial(packed, widths, config.members, config.alpha), 1, seed)
    else:
        nets = _separate(config, widths, seed)
    return [net.to(device) for net in nets]


def _separate(config: Budget, widths: Sequence[int], seed: int) -> list[nn.Module]:
    def factory() -> nn.Module:
        return mlp(widths, int(torch.randint(2**31, ())), he=True)

    if config.designs == "dense":
        return made(factory, config.members, seed)
    last = str(2 * len(config.hidden))  # stays dense
    return designed(
        factory, config.members, config.designs, config.pattern, skip=(last,), seed=seed
    ).nets


def packed(widths: Sequence[int], members: int, alpha: float) -> nn.Module:
    """Return a packed net of these widths, which answers (members, batch, classes)."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        last = i == len(widths) - 2
        layer = PackedLinear(a, b, members, alpha, first=not i, last=last)
        nn.init.normal_(layer.weight, std=(2 / layer.weight.shape[2]) ** 0.5)  # He's, as the others
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        layers += [layer, *([] if last else [nn.ReLU()])]
    return nn.Sequential(*layers, Members(members))
