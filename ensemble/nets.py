"""Builds the nets of a side of one budget, from a seed: the same ones whenever they are asked for.

    designs               a member
    dense, pruned         dense; pruned ones lose their weights while they train
    different, one        sparse, of a design of its own or of the first one's
    random, rigl          sparse at random places, which stay or move
    packed                (all of them are one net)

The last layer is always dense at first. The nets of `Exits` have heads after hidden layers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from bibd import DynamicLinear, SparseLinear
from ensemble.designs import designed
from ensemble.fit.training import made
from ensemble.packed import Members, PackedLinear
from ensemble.plans.budget import Budget
from ensemble.plans.cascade import Exits
from harness.data import Data
from harness.exits.exits import EarlyExit, attach
from harness.nets.perceptron import mlp
from harness.seeding import seeded


def build(config: Budget, data: Data, seed: int) -> list[nn.Module]:
    """Return the nets of a side with this seed's starts and designs; packed ones are one net."""
    widths = (data.shape[0], *config.hidden, data.classes)
    if config.designs == "packed":
        nets = made(partial(packed, widths, config.members, config.alpha), 1, seed)
    else:
        nets = _separate(config, widths, seed)
    if isinstance(config, Exits):
        nets = [_with_heads(net, config.exits, data, seed) for net in nets]
    return [net.to(data.train_x.device) for net in nets]


def _separate(config: Budget, widths: Sequence[int], seed: int) -> list[nn.Module]:
    def factory() -> nn.Module:
        return mlp(widths, int(torch.randint(2**31, ())), he=True)

    if config.designs in ("dense", "pruned"):
        return made(factory, config.members, seed)
    return _sparse(config, factory, widths, seed)


def _sparse(
    config: Budget, factory: Callable[[], nn.Module], widths: Sequence[int], seed: int
) -> list[nn.Module]:
    moving = config.designs == "rigl"
    last = widths[-2] * widths[-1]
    nets = designed(
        factory,
        config.members,
        "random" if moving else config.designs,
        config.pattern,
        config.connections - last if config.connections else None,
        skip=(str(2 * len(config.hidden)),),
        seed=seed,
    ).nets
    with seeded(seed, "init"):  # (draws values that are replaced, and from nobody else's numbers)
        return [movable(net) for net in nets] if moving else nets


def movable(net: nn.Module) -> nn.Module:
    """Return a row of layers whose sparse ones may change their connections, with its values."""
    layers: list[nn.Module] = []
    for layer in net.children():
        found = layer
        if isinstance(layer, SparseLinear):
            table, has_bias = layer.pattern, layer.bias is not None
            found = DynamicLinear(*table.shape, pattern=table, bias=has_bias)
            with torch.no_grad():
                for p, value in zip(found.parameters(), layer.parameters(), strict=True):
                    p.copy_(value)
        layers.append(found)
    return nn.Sequential(*layers)


def _with_heads(net: nn.Module, exits: Sequence[int], data: Data, seed: int) -> EarlyExit:
    stages: Any = [2 * number - 1 for number in exits]  # (a hidden layer and its ReLU are two)
    with seeded(seed, "init", 1):  # (the net itself is member 0)
        return attach(net, stages, data.shape, data.classes, head="linear")


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
