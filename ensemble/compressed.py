"""Members whose connections move or are pruned while they train: the one door to `compress`.

    rigl      every so many steps a change takes the place of an update: the smallest connections
              go, and as many grow where the dense gradient is largest
    pruned    dense at first; every so many steps the smallest weights go for good, along a cubic

No other module of this package knows `compress`, as the contract of the floors says.
"""

import copy
from typing import Any

import torch
from torch import nn

from compress.moving.moving import Moving
from compress.pruning.freeze import freeze
from compress.pruning.layers import found
from compress.pruning.prune import prune
from compress.pruning.schedule import Gradual
from compress.runs.passes import Plain
from compress.runs.pruned import Pruned
from ensemble.plans.budget import Budget


def way(
    config: Budget, net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int
) -> Moving | Plain:
    """Return what makes the steps of one member.

    Args:
        config: Whether its connections move or are pruned, how often and for how long.
        net: The member.
        optimizer: Trains it.
        steps: How many the training has.
        seed: The member's.
    """
    if config.designs == "pruned":
        length = max(1, int(config.until * steps))
        return Pruned(net, optimizer, Gradual(density(config, net), 0, length, config.every))
    if not config.changes(steps):  # (such as of the few steps that are timed)
        return Plain(optimizer)
    often: Any = dict(every=config.every, until=config.until, fraction=config.fraction)
    return Moving(net, optimizer, "rigl", steps=steps, seed=seed, **often)


def density(config: Budget, net: nn.Module) -> float:
    """Return the share of a dense member's weights that is left at the end.

    Raises:
        ValueError: it has fewer weights than shall be left.
    """
    weights = sum(weight.numel() for weight in found(net).values())
    if config.connections > weights:
        raise ValueError(
            f"connections={config.connections:,} cannot be left of a member with {weights:,}: make "
            "it wider (hidden=), or leave fewer"
        )
    return config.connections / weights


def frozen(net: nn.Module, way: Any) -> nn.Module:
    """Return a copy of a pruned member that holds nothing but the connections that are left."""
    return _without(net, way.masked.masks)


def sketch(config: Budget, net: nn.Module) -> nn.Module:
    """Return an untrained member as it would be held once it is pruned, to count what it costs."""
    return _without(net, prune(net, density(config, net)))


def _without(net: nn.Module, masks: Any) -> nn.Module:
    small = nn.Sequential(*copy.deepcopy(list(net.children())))  # (hooks of the masks stay behind)
    freeze(small, masks)
    return small
