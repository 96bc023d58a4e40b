"""Trains a net in float32, and at the end makes int8 of it in each way: accuracy, bytes of files.

row["ways"] = [{"way": "onnx_static", "test_accuracy": .., "bytes": .., "ratio": .., "notes": [..]}]

A ratio is to the dense net's weights, biases and norms in float32.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from compress.int8 import extras
from compress.int8.plain import Plain
from compress.int8.quantize import quantize
from compress.plans.int8 import Int8
from compress.runs.dynamic import sgd
from compress.runs.passes import Passes, Told, tested
from compress.runs.passes import Plain as Updates
from harness.data import Data
from harness.data.pictures import Batches, images
from harness.seeding import order
from mlp.model import build as make_mlp
from mlp.plans.config import Config
from resnet.model import resnet

LIBRARIES = ("onnx_static", "torchao", "qat")


class Run:
    """One seed of a config; `state_dict` holds all between two epochs.

    Args:
        config: Which net, how it is trained, and what is made of it.
        data: What it learns.
        seed: Of its start and its orders.
    """

    def __init__(self, config: Int8, data: Data, seed: int):
        self.config, self.data, self.seed = config, data, seed
        self.net = build(config, data, seed).to(data.train_x.device)
        way = Updates(sgd(config, self.net))
        sizes: Any = dict(epochs=config.epochs, batch_size=config.batch_size, seed=seed)
        kind = Pictured if config.net == "resnet" else Passes
        self.passes = kind(self.net, data, way, **sizes)
        self.state_dict, self.load_state_dict = self.passes.state_dict, self.passes.load_state_dict

    def row(self, number: int, tell: Told) -> dict[str, Any]:
        """Train over the data in the order of this epoch; the last row has the ways."""
        loss = self.passes.run(tell)
        row = {"epoch": number + 1, "train_loss": float(f"{loss:.6g}")}
        if not math.isfinite(loss):
            return row | {"failed": f"the loss became {loss} in epoch {number + 1}"}
        data = replace(self.data, test_x=seen(self.config, self.data, self.data.test_x))
        test_loss, accuracy = tested(self.net, data)
        row |= {"test_loss": float(f"{test_loss:.6g}"), "test_accuracy": accuracy}
        if number + 1 < self.config.epochs:
            return row | {"ways": []}
        return row | {"ways": list(ways(self.config, self.net, data, self.seed))}


class Pictured(Passes):
    """Passes over pictures that are cropped and flipped."""

    def __init__(self, net: nn.Module, data: Data, way: Any, **options: Any):
        super().__init__(net, data, way, **options)
        self.batches = Batches(data, "flip", self.seed, torch.contiguous_format)

    def run(self, tell: Told) -> float:
        """Train one pass; returns the mean loss."""
        self.batches.begin(self.number)
        return super().run(tell)

    def draw(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return these pictures, moved as this pass has drawn it."""
        return self.batches.draw(index)


def ways(config: Int8, net: nn.Module, data: Data, seed: int) -> Iterator[dict[str, Any]]:
    """Yield accuracy and bytes of a trained net, made in each way."""
    net = copy.deepcopy(net).cpu().eval()
    parts = ("train_x", "train_y", "test_x", "test_y")
    data = replace(data, **{part: getattr(data, part).cpu() for part in parts})
    whole = float32(net)
    shuffled = order(seed, config.epochs, len(data.train_y))
    for way in config.ways:
        index = shuffled[: config.learned if way == "qat" else config.calibration]
        samples = seen(config, data, data.train_x[index]), data.train_y[index]
        if way == "bf16":
            made, size, notes = Half(net), whole // 2, ()
        else:
            options = dict(lr=config.learned_lr, seed=seed) if way == "qat" else {}
            made = quantize(net, samples, way, **options)
            size, notes = made.bytes, made.notes
        loss, accuracy = tested(made, data)
        yield {
            "way": way,
            "test_accuracy": accuracy,
            "test_loss": float(f"{loss:.6g}"),
            "bytes": size,
            "ratio": float(f"{size / whole:.4g}"),
            "notes": list(notes),
        }


def seen(config: Int8, data: Data, x: torch.Tensor) -> torch.Tensor:
    """Return samples as the net sees them: pictures normalised, neither shifted nor flipped."""
    return images(x, data, torch.contiguous_format) if config.net == "resnet" else x


def float32(net: nn.Module) -> int:
    """Return the bytes of a net's weights, biases and norms in float32, sparse layers dense."""
    held = Plain(net).state_dict().values()
    return sum(4 * t.numel() for t in held if isinstance(t, torch.Tensor) and t.is_floating_point())


class Half(nn.Module):
    """A net in bfloat16 that takes and answers float32."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = copy.deepcopy(net).bfloat16()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.net(x.bfloat16()).float()


def build(config: Int8, data: Data, seed: int) -> nn.Module:
    """Return the net of a config with this seed's start.

    Raises:
        ValueError: a way whose library is not installed; has the line to type.
    """
    if set(config.ways) & set(LIBRARIES) and (why := extras.missing()):
        raise ValueError(f"{why}; or leave ways of int8 out: --ways bf16")
    if config.net == "mlp":
        (inputs,) = data.shape
        return make_mlp(Config(config.hidden, config.pattern), inputs, data.classes, seed)
    shape: Any = data.shape
    how: Any = dict(width=config.width, classes=data.classes, shape=shape, seed=seed)
    return resnet(config.depth, config.pattern, **how)


def shaped(config: Int8, data: Data) -> Data:
    """Return the data as the net reads it."""
    if config.net == "resnet":
        return data.images()
    return data.amounts().pad(config.pad).flatten()
