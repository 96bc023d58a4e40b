"""Trains a sparse net whose connections stay, move or are pruned, epoch after epoch.

A step is an update (dense, static, bibd), an update or a change (set, rigl, rigl_fan_in), or an
update of dense weights under masks that tighten (gradual).
"""

import math
import time
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from bibd import DynamicLinear, Pattern, SparseLinear, make_pattern
from bibd.pattern import without_dead
from compress.moving.moving import Moving
from compress.plans.dynamic import MOVED, Dynamic
from compress.pruning import densities
from compress.pruning.masks import Masks
from compress.pruning.schedule import Gradual
from compress.runs.memory import held
from compress.runs.passes import Passes, Plain, Told, tested
from compress.runs.pruned import Pruned
from harness.data import Data
from harness.seeding import derive, seeded


class Run:
    """One seed of a config; `row` trains once over the data, `state_dict` holds all between.

    The last row says what the training holds in memory (compress.runs.memory).

    Args:
        config: Which net, and what happens to its connections.
        data: What it learns.
        seed: Of its start, its places and its order.
    """

    def __init__(self, config: Dynamic, data: Data, seed: int):
        self.data, self.config = data, config
        self.net = build(config, data, seed).to(data.train_x.device)
        steps = config.epochs * math.ceil(len(data.train_y) / config.batch_size)
        way = _way(config, self.net, sgd(config, self.net), steps, seed)
        sizes = dict(epochs=config.epochs, batch_size=config.batch_size, seed=seed)
        self.passes = Passes(self.net, data, way, **sizes)
        self.state_dict, self.load_state_dict = self.passes.state_dict, self.passes.load_state_dict

    def row(self, number: int, tell: Told) -> dict[str, Any]:
        """Train over the data in the order of this epoch; returns the row."""
        begin = time.process_time()
        loss = self.passes.run(tell)
        seconds = time.process_time() - begin
        if not math.isfinite(loss):
            return {"epoch": number + 1, "failed": f"the loss became {loss} in epoch {number + 1}"}
        test_loss, accuracy = tested(self.net, self.data)
        last = number + 1 == self.config.epochs
        row = {
            "epoch": number + 1,
            "train_loss": float(f"{loss:.6g}"),
            "test_loss": float(f"{test_loss:.6g}"),
            "test_accuracy": accuracy,
            "train_time": float(f"{seconds:.4g}"),
        }
        return row | ({"memory": held(self.net, self.passes.way)} if last else {})


def sgd(config: Any, net: nn.Module) -> torch.optim.SGD:
    """Return the optimizer of a config that has lr, momentum and weight_decay."""
    named = dict(lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.SGD(net.parameters(), **named, fused=True)


def _way(config: Dynamic, net: nn.Module, optimizer, steps: int, seed: int) -> Any:
    if config.method in ("gradual", "subset"):
        masks = Masks(within(net, config)) if config.method == "subset" else None
        begin = masks.kept / masks.of if masks else 1.0
        length = max(1, int(config.until * steps))
        schedule = Gradual(config.density, 0, length, config.every, start=begin)
        return Pruned(net, optimizer, schedule, masks)
    if config.method in MOVED:
        sizes: Any = dict(steps=steps, every=config.every)
        sizes |= dict(until=config.until, fraction=config.fraction, seed=seed)
        return Moving(net, optimizer, config.method, **sizes)
    return Plain(optimizer)


def supersets(net: nn.Module) -> dict[str, Pattern]:
    """Return the designs, by layer, of which the connections of a subset are a part."""
    layers = {name: m for name, m in net.named_children() if isinstance(m, nn.Linear)}
    *hidden, _ = layers  # (the last layer may have all its connections)
    sizes = {name: (layers[name].in_features, layers[name].out_features) for name in hidden}
    return {name: make_pattern("bibd", *size) for name, size in sizes.items()}


def within(net: nn.Module, config: Dynamic) -> dict[str, torch.Tensor]:
    """Return masks that leave the places of the designs.

    Raises:
        ValueError: the density is above theirs.
    """
    masks = {f"{name}.weight": torch.from_numpy(p.mask()) for name, p in supersets(net).items()}
    name, last = list(net.named_parameters())[-2]
    masks[name] = torch.ones_like(last, dtype=torch.bool)
    held = sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())
    if config.density > held:
        raise ValueError(
            f"density={config.density} is above that of the designs, {held:.4f}: a subset is less"
        )
    return masks


def shaped(config: Dynamic, data: Data) -> Data:
    """Return the data as the net reads it, with one axis per input."""
    return data.amounts().pad(config.pad).flatten()


def build(config: Dynamic, data: Data, seed: int) -> nn.Sequential:
    """Return the net of a config with this seed's start and places."""
    widths = (data.shape[0], *config.hidden, data.classes)
    found = counts(config, widths)
    layers: list[nn.Module] = []
    with seeded(seed, "init"):
        for i, (v, b) in enumerate(pairwise(widths)):
            layers += [_layer(config, v, b, found[i], derive(seed, "design", i)), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def counts(config: Dynamic, widths: tuple[int, ...]) -> list[int]:
    """Return how many connections each layer has."""
    shapes = {str(i): (b, v) for i, (v, b) in enumerate(pairwise(widths))}
    if config.method in ("dense", "gradual", "subset"):
        return [v * b for b, v in shapes.values()]
    if config.densities == "bibd":
        tables = [make_pattern("bibd", v, b).nonzeros for b, v in shapes.values()]
        return [*tables[:-1], widths[-2] * widths[-1]]  # (the last layer stays dense)
    if config.densities == "uniform":
        return list(densities.uniform(shapes, config.density).values())
    return list(densities.counts(densities.erk(shapes, config.density), shapes).values())


def _layer(config: Dynamic, v: int, b: int, count: int, seed: int) -> nn.Module:
    if count == v * b:
        layer = nn.Linear(v, b)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return layer
    if config.method == "bibd":
        return SparseLinear(v, b, "bibd")
    kind = DynamicLinear if config.method in MOVED else SparseLinear
    if config.method in ("fan_in", "rigl_fan_in"):
        return kind(v, b, make_pattern("random_fan_in", v, b, seed, count))
    return kind(v, b, without_dead(make_pattern("random", v, b, seed, count)))
