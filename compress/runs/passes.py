"""Passes over the data: the loop that all runs of this study train by.

Orders come from the seed and the number of the pass, so that a run goes on as if it had not been
cut off; the rate falls along half a cosine to 0 over all passes. A `way` says what a step is: an
update, and where they are due connections that move or masks that tighten.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.seeding import order
from harness.train.fit import evaluate

Told = Callable[[float], None]


class Plain:
    """A step that is an update, and nothing else."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer, self.t = optimizer, 0

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *error) -> None:
        pass

    def step(self) -> None:
        """Update the weights."""
        self.optimizer.step()
        self.t += 1

    def state_dict(self) -> dict[str, Any]:
        """Return how many steps there were."""
        return {"step": self.t}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.t = int(state["step"])


class Passes:
    """Some passes over the data; `state_dict` holds all between two of them.

    Args:
        net: What learns.
        data: What it learns.
        way: Makes steps; a Plain, or what has its methods.
        epochs: How many passes there will be.
        batch_size: Samples per step.
        seed: Of the orders.
        first: The number of the first pass, for another order than an earlier training's.
    """

    def __init__(
        self, net: nn.Module, data: Data, way: Any, *, epochs: int, batch_size: int, seed: int,
        first: int = 0
    ):  # fmt: skip
        self.net, self.data, self.way, self.seed = net, data, way, seed
        self.batch_size, self.number, self.t = batch_size, first, 0
        self.steps = epochs * math.ceil(len(data.train_y) / batch_size)
        self.rates = [group["lr"] for group in way.optimizer.param_groups]

    def run(self, tell: Told) -> float:
        """Train one pass; returns the mean loss."""
        self.net.train()
        indices = order(self.seed, self.number, len(self.data.train_y)).split(self.batch_size)
        losses = []
        for k, index in enumerate(indices):
            losses.append(self._step(index.to(self.data.train_y.device)))
            tell((k + 1) / len(indices))
        self.number += 1
        return float(torch.stack(losses).double().mean())

    def draw(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return these samples and their classes."""
        return self.data.train_x[index], self.data.train_y[index]

    def _step(self, index: torch.Tensor) -> torch.Tensor:
        x, y = self.draw(index)
        share = (1 + math.cos(math.pi * self.t / self.steps)) / 2
        for rate, group in zip(self.rates, self.way.optimizer.param_groups, strict=True):
            group["lr"] = rate * share
        self.way.optimizer.zero_grad()
        with self.way:
            loss = F.cross_entropy(self.net(x), y)
            loss.backward()
        self.way.step()
        self.t += 1
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        parts = {"net": self.net, "optimizer": self.way.optimizer, "way": self.way}
        state = {name: part.state_dict() for name, part in parts.items()}
        return {"t": self.t, "number": self.number} | state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.net.load_state_dict(state["net"])
        self.way.load_state_dict(state["way"])
        self.way.optimizer.load_state_dict(state["optimizer"])
        self.t, self.number = state["t"], state["number"]


def tested(net: nn.Module, data: Data) -> tuple[float, float]:
    """Return loss and accuracy on the test part."""
    loss, accuracy = evaluate(_One(net), data.test_x, data.test_y, 1)
    return float(loss), float(accuracy)


class _One(nn.Module):
    """A net as a stack of one."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x[0])[None]
