"""The nets of the pipeline studies by name, and where each is cut.

    mlp            [linear, ReLU] x (N-1), linear            one layer a stage, He's start
    residual_mlp   the same, and x + ... where widths agree; such a layer starts at He's / sqrt(all)
    others         at the places of the SpecTrain script (1809.02839), which are the net's CUTS

ResNet50 was cut inside a bottleneck there, with two tensors at the boundary; ours is cut between
groups of blocks: behind the second of them for 2 stages, and behind each of three for 4.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.nets import densenet, googlenet, sequence, vgg
from harness.nets.perceptron import linear
from harness.seeding import seeded
from harness.stack import stack
from parallel.plans.staged import Staged

RESNET_CUTS = {2: [3], 4: [2, 3, 4]}


class Residual(nn.Module):
    """What it is given, plus what a part makes of it."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum; the same shape."""
        return x + self.part(x)

    @classmethod
    def stack(cls, modules: "Sequence[Residual]") -> "Residual":
        """One module of many, with a leading axis for its members."""
        return cls(stack([m.part for m in modules]))


def layered(config: Staged, inputs: int, classes: int, seed: int) -> nn.Sequential:
    """An MLP whose layers are its stages."""
    last = config.stages - 1
    widths = [inputs, *[config.width] * last, classes]
    with seeded(seed, "init"):
        rows = [linear(a, b, he=True) for a, b in pairwise(widths)]
    if not config.bias:
        for layer in rows:
            layer.register_parameter("bias", None)
    residual = config.net == "residual_mlp"
    if residual:
        _soften(rows[1:last])
    return nn.Sequential(
        *(_stage(layer, k < last, residual and 0 < k < last) for k, layer in enumerate(rows))
    )


def _soften(blocks: Sequence[nn.Linear]) -> None:
    """Start blocks so that what they add together is about as large as what they add it to.

    At He's start each of them doubles the variance, and 14 of them leave no rate that trains.
    """
    with torch.no_grad():
        for layer in blocks:
            layer.weight /= math.sqrt(len(blocks))


def _stage(layer: nn.Linear, active: bool, residual: bool) -> nn.Module:
    part = nn.Sequential(layer, nn.ReLU()) if active else nn.Sequential(layer)
    return Residual(part) if residual else part


def resnet50(config: Staged, data: Data, seed: int) -> nn.Module:
    """Of `width` channels in its stem."""
    from resnet.model import resnet

    shape: Any = data.shape
    return resnet(50, width=config.width, classes=data.classes, shape=shape, seed=seed)


def _images(make: Callable[..., nn.Module]) -> Callable[[Staged, Data, int], nn.Module]:
    def build(config: Staged, data: Data, seed: int) -> nn.Module:
        return make(config.width, data.classes, data.shape[0], seed=seed)

    return build


def _lstm(config: Staged, data: Data, seed: int) -> nn.Module:
    return sequence.residual_lstm(config.width, config.words, data.classes, seed)


def _transformer(config: Staged, data: Data, seed: int) -> nn.Module:
    size = config.width, config.words, config.length
    return sequence.transformer(*size, data.classes, seed=seed)


BUILDERS: dict[str, Callable[[Staged, Data, int], nn.Module]] = {
    "vgg16": _images(vgg.vgg16),
    "resnet50": resnet50,
    "densenet121": _images(densenet.densenet121),
    "googlenet": _images(googlenet.googlenet),
    "residual_lstm": _lstm,
    "transformer": _transformer,
}


def build(config: Staged, data: Data, seed: int) -> nn.Module:
    """The net of a config, with this seed's first weights."""
    if config.layered:
        return layered(config, data.shape[0], data.classes, seed)
    net = BUILDERS[config.net](config, data, seed)
    # On narrow nets 1.3 to 2 times as fast, as pooling and batch norm are, too.
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def split(config: Staged, net: nn.Module) -> list[int]:
    """First piece of the second stage, of the third, ..."""
    if config.weights == "sgd":
        return []
    if config.layered:
        return list(range(1, config.stages))
    cuts: Any = getattr(net, "CUTS", RESNET_CUTS)
    return [] if config.stages == 1 else list(cuts[config.stages])
