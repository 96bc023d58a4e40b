"""Trains a net, prunes it in steps, and makes files of it after each; a row for each step."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from compress.plans.deep import Deep
from compress.pruning.masks import Masks
from compress.pruning.prune import prune
from compress.pruning.schedule import Gradual
from compress.runs.dynamic import sgd
from compress.runs.files import coded
from compress.runs.passes import Passes, Plain, Told, tested
from compress.runs.pruned import Pruned
from harness.data import Data
from harness.nets.lenet import lenet5
from harness.nets.perceptron import mlp

PRUNING = 0.75  # of a step's passes; the rest lets the net recover


class Run:
    """One seed of a config; `state_dict` holds all between two steps.

    Args:
        config: Which net, and how it is made small.
        data: What it learns.
        seed: Of its start and its orders.
    """

    def __init__(self, config: Deep, data: Data, seed: int):
        self.config, self.data, self.seed = config, data, seed
        self.net = build(config, data, seed).to(data.train_x.device)
        self.masks: dict[str, torch.Tensor] = {}
        self.passes = 0  # so far, without those of shared values

    def row(self, number: int, tell: Told) -> dict[str, Any]:
        """Take the next step: train the dense net, or prune it further and make its files."""
        dense = number == 0
        epochs = self.config.dense if dense else self.config.each
        share = 1.0 if dense else epochs / (epochs + self.config.sharing * len(self.config.bits))
        loss = self._train(number, epochs, lambda done: tell(share * done))
        row = {"epoch": number + 1, "train_loss": float(f"{loss:.6g}")}
        if not math.isfinite(loss):
            return row | {"failed": f"the loss became {loss} in step {number + 1}"}
        test_loss, accuracy = tested(self.net, self.data)
        row |= {"test_loss": float(f"{test_loss:.6g}"), "test_accuracy": accuracy}
        if dense:
            return row | {"density": 1.0, "files": []}
        files = self._files(lambda done: tell(share + (1 - share) * done))
        return row | {"density": self.config.densities[number - 1], "files": files}

    def _train(self, number: int, epochs: int, tell: Told) -> float:
        optimizer = sgd(self.config, self.net)
        way: Any = Plain(optimizer) if number == 0 else self._pruning(number, epochs, optimizer)
        named: Any = dict(epochs=epochs, batch_size=self.config.batch_size, seed=self.seed)
        passes = Passes(self.net, self.data, way, **named, first=self.passes)
        loss = math.nan
        for k in range(epochs):
            loss = passes.run(lambda share, k=k: tell((k + share) / epochs))
            if not math.isfinite(loss):
                break
        self.passes += epochs
        if number:
            self.masks = way.masked.state_dict()
            way.masked.detach()
        return loss

    def _pruning(self, number: int, epochs: int, optimizer: torch.optim.Optimizer) -> Pruned:
        densities = (1.0, *self.config.densities)
        steps = epochs * math.ceil(len(self.data.train_y) / self.config.batch_size)
        every = max(1, min(100, steps // 8))
        length = max(1, int(PRUNING * steps))
        before, after = densities[number - 1], densities[number]
        schedule = Gradual(after, 0, length, every, start=before)
        masks = Masks(self.masks) if self.masks else prune(self.net, 1.0)
        return Pruned(self.net, optimizer, schedule, masks)

    def _files(self, tell: Told) -> list[dict[str, Any]]:
        config, found = self.config, []
        named: Any = dict(epochs=config.sharing, batch_size=config.batch_size, seed=self.seed)
        named |= dict(lr=config.shared_lr, momentum=config.momentum, first=self.passes)
        for k, bits in enumerate(config.bits):
            part: Callable[[float], None] = lambda done, k=k: tell((k + done) / len(config.bits))  # noqa: E731
            found.append(coded(self.net, self.data, bits, part, **named))
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {"net": self.net.state_dict(), "masks": self.masks, "passes": self.passes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.net.load_state_dict(state["net"])
        self.masks, self.passes = dict(state["masks"]), state["passes"]


def build(config: Deep, data: Data, seed: int) -> nn.Module:
    """Return the net of a config with this seed's start."""
    if config.net == "lenet_5":
        return lenet5(data.shape, data.classes, seed)  # pyright: ignore[reportArgumentType]
    hidden = (300, 100) if config.net == "lenet_300_100" else (32, 24)
    return mlp((data.shape[0], *hidden, data.classes), seed, he=True)


def shaped(config: Deep, data: Data) -> Data:
    """Return the data as the net reads it."""
    return data.images() if config.net == "lenet_5" else data.amounts().flatten()
