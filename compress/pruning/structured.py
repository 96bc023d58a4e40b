"""`prune_channels(net, density, x)`: whole channels go, and a smaller dense net is left.

Which channels hang together (residual sums, norms, flattened maps) is torch-pruning's to find, an
optional extra: `pip install torch-pruning`. What was gained is counted here, by harness.cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.pruning.densities import check
from compress.pruning.layers import found, layer_of
from harness.cost import Cost, evaluating, total

LINE = 'pip install "iddl[structured]"    (or: pip install torch-pruning)'


@dataclass(frozen=True)
class Channels:
    """What a net costs for one sample before and after channels went; prints as two lines."""

    before: Cost
    after: Cost

    def __str__(self) -> str:
        rows = [f"{n}: {_said(c)}" for n, c in (("before", self.before), ("after", self.after))]
        return "\n".join(rows)


def _said(cost: Cost) -> str:
    return f"{cost.nonzeros:,} weights, {cost.macs:,} MACs, {cost.bytes:,} bytes"


def library() -> Any:
    """Return torch-pruning, or say how to get it.

    Raises:
        ImportError: it is not installed; has the line to type.
    """
    try:
        import torch_pruning  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"channels are pruned by torch-pruning, an extra: {LINE}") from error
    return torch_pruning


def prune_channels(
    net: nn.Module, density: float, x: torch.Tensor, exclude: Sequence[str] | str = ()
) -> Channels:
    """Take the channels with the smallest norms out of every layer, in place.

    Args:
        net: Its Linear and Conv2d layers get smaller; the last one keeps its outputs.
        density: The share of each layer's channels that stays.
        x: A batch as the net takes it: what hangs together is seen by sending it through.
        exclude: Names of layers that keep their outputs, with * and ?.

    Raises:
        ImportError: torch-pruning is not installed.
        ValueError: a density out of range; layers that `prune` would refuse; a net that did not get
            smaller.
    """
    check(density)
    tp = library()
    every = found(net)
    chosen = found(net, exclude) if exclude else every
    last = list(every)[-1]
    stay = [net.get_submodule(layer_of(n)) for n in every if n not in chosen or n == last]
    shape = tuple(x.shape[1:])
    before = total(net, shape)
    with evaluating(net):
        how = dict(importance=tp.importance.MagnitudeImportance(p=2), ignored_layers=stay)
        tp.pruner.MetaPruner(net, x, pruning_ratio=1 - density, **how).step()
    after = total(net, shape)
    if density < 1 and after.macs >= before.macs:
        raise ValueError(
            f"no channel went: {_said(after)}; layers of few channels keep theirs, so take a "
            "smaller density, or exclude less"
        )
    return Channels(before, after)
