"""Trains a net, prunes it in steps, and makes files of it after each; a row for each step."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from compress.plans.deep import Deep
from compress.pruning.apply import Masked
from compress.pruning.masks import Masks
from compress.pruning.prune import prune
from compress.pruning.schedule import Gradual
from compress.runs.dynamic import sgd
from compress.runs.files import coded, folded
from compress.runs.passes import Passes, Plain, Told, tested
from compress.runs.pruned import Pruned
from compress.runs.twins import dense_twin, masks_of
from harness.data import Data
from harness.data.pictures import images
from harness.nets.lenet import lenet5
from harness.nets.perceptron import mlp

PRUNING = 0.75  # of a step's passes; the rest lets the net recover


class Run:
    """One seed of a config; `state_dict` holds all between two steps.

    Args:
        config: Which net, and how it is made small.
        data: What it learns.
        seed: Of its start and its orders.
        net: Built already; None: by `build`.
    """

    def __init__(self, config: Deep, data: Data, seed: int, net: nn.Module | None = None):
        self.config, self.data, self.seed = config, data, seed
        start = Start(config, build(config, data, seed) if net is None else net)
        self.net, self.supersets = start.net.to(data.train_x.device), start.patterns
        self.held, self.masks = start.held, start.masks
        self.passes = 0  # so far, without those of shared values

    def row(self, number: int, tell: Told) -> dict[str, Any]:
        """Take the next step: train the dense net, or prune it further and make its files."""
        c, dense = self.config, number == 0
        epochs = c.dense if dense else c.each
        files = len(c.bits) * len(c.norms) * (self.held < 1 or not dense)
        share = epochs / (epochs + c.sharing * files)
        loss = self._train(number, epochs, lambda done: tell(share * done))
        row = {"epoch": number + 1, "train_loss": float(f"{loss:.6g}")}
        if not math.isfinite(loss):
            return row | {"failed": f"the loss became {loss} in step {number + 1}"}
        test_loss, accuracy = tested(self.net, self.data)
        row |= {"test_loss": float(f"{test_loss:.6g}"), "test_accuracy": accuracy}
        row["density"] = self.held if dense else self.config.densities[number - 1]
        if self.held == 1 and dense:
            return row | {"files": []}
        return row | {"files": self._files(lambda done: tell(share + (1 - share) * done))}

    def _train(self, number: int, epochs: int, tell: Told) -> float:
        optimizer, masked = sgd(self.config, self.net), None
        way: Any = Plain(optimizer)
        if number:
            way = self._pruning(number, epochs, optimizer)
            masked = way.masked
        elif self.held < 1:
            masked = Masked(self.net, self.masks, optimizer)
        named: Any = dict(epochs=epochs, batch_size=self.config.batch_size, seed=self.seed)
        passes = Passes(self.net, self.data, way, **named, first=self.passes)
        loss = math.nan
        for k in range(epochs):
            loss = passes.run(lambda share, k=k: tell((k + share) / epochs))
            if not math.isfinite(loss):
                break
        self.passes += epochs
        if masked is not None:
            self.masks = masked.state_dict()
            masked.detach()
        return loss

    def _pruning(self, number: int, epochs: int, optimizer: torch.optim.Optimizer) -> Pruned:
        densities = (self.held, *self.config.densities)
        steps = epochs * math.ceil(len(self.data.train_y) / self.config.batch_size)
        every = max(1, min(100, steps // 8))
        length = max(1, int(PRUNING * steps))
        before, after = densities[number - 1], densities[number]
        schedule = Gradual(after, 0, length, every, start=before)
        masks = Masks(self.masks) if self.masks else prune(self.net, 1.0)
        return Pruned(self.net, optimizer, schedule, masks)

    def _files(self, tell: Told) -> list[dict[str, Any]]:
        config, found = self.config, []
        ways = [(norms, bits) for norms in config.norms for bits in config.bits]
        named: Any = dict(epochs=config.sharing, batch_size=config.batch_size, seed=self.seed)
        named |= dict(lr=config.shared_lr, momentum=config.momentum, first=self.passes)
        named["supersets"] = self.supersets or None
        for k, (norms, bits) in enumerate(ways):
            part: Callable[[float], None] = lambda done, k=k: tell((k + done) / len(ways))  # noqa: E731
            net = folded(self.net) if norms == "folded" else self.net
            file = coded(net, self.data, bits, part, **named)
            found.append(file | ({"norms": norms} if norms != "stored" else {}))
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {"net": self.net.state_dict(), "masks": self.masks, "passes": self.passes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.net.load_state_dict(state["net"])
        self.masks, self.passes = dict(state["masks"]), state["passes"]


class Start:
    """The net that is trained and pruned: of sparse layers their dense twins, under masks.

    Args:
        config: To which densities it is pruned.
        net: As it was built.

    Raises:
        ValueError: the first density is above that of its designs.
    """

    def __init__(self, config: Deep, net: nn.Module):
        self.net, self.patterns = dense_twin(net)
        masks = masks_of(self.net, self.patterns)
        self.held = masks.kept / masks.of
        self.masks: dict[str, torch.Tensor] = dict(masks) if self.patterns else {}
        if config.densities and config.densities[0] >= self.held:
            raise ValueError(
                f"densities begin with {config.densities[0]:g}, and the net's designs have "
                f"{self.held:.4f}: what is pruned of them is less"
            )


def build(config: Deep, data: Data, seed: int) -> nn.Module:
    """Return the net of a config with this seed's start.

    Raises:
        ValueError: a net that only compress.trainer can build.
    """
    if config.net == "b_resnet_18":
        raise ValueError("a ResNet is built by compress.trainer.build, which knows the models")
    if config.net == "lenet_5":
        return lenet5(data.shape, data.classes, seed)  # pyright: ignore[reportArgumentType]
    hidden = (300, 100) if config.net == "lenet_300_100" else (32, 24)
    return mlp((data.shape[0], *hidden, data.classes), seed, he=True)


def shaped(config: Deep, data: Data) -> Data:
    """Return the data as the net reads it."""
    if config.net == "b_resnet_18":
        data = data.images()
        return data.map(partial(images, data=data, layout=torch.contiguous_format))
    return data.images() if config.net == "lenet_5" else data.amounts().flatten()
