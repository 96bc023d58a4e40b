"""A net as exporters can follow it: a copy with dense layers that answers all exits at once.

Exporters know no sparse kernels, and a graph that is fixed lets no sample leave early; both are
said in notes. Zeros stay zeros: int8 weights are symmetric around 0.
"""

import copy
from typing import Any

import torch
from torch import nn

from bibd import SparseConv2d, SparseLinear


class Plain(nn.Module):
    """Answers a tuple, the logits of each exit; a net without exits has one.

    Args:
        net: Is copied.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net: Any = copy.deepcopy(net)
        self.eval()
        self.sparse = densify(self)
        self.early = hasattr(net, "forward_exits")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the logits of each exit."""
        return tuple(self.net.forward_exits(x)) if self.early else (self.net(x),)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the copy does otherwise than the net."""
        found = []
        if self.sparse:
            layers = f"{self.sparse} sparse layer{'s' * (self.sparse > 1)}"
            found.append(f"{layers} as dense: int8 multiplies their zeros, too")
        if self.early and hasattr(self.net, "early"):
            found.append("all exits are computed, no sample leaves early")
        return tuple(found)


@torch.no_grad()
def densify(net: nn.Module) -> int:
    """Put dense layers in the place of sparse ones; returns how many there were."""
    made: dict[int, nn.Module] = {}
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if isinstance(module, SparseLinear | SparseConv2d):
            layer = made.setdefault(id(module), _dense(module))
            net.set_submodule(name, layer)
    return len(made)


def _dense(layer: Any) -> nn.Module:
    bias, dtype = layer.bias is not None, layer.weight.dtype
    if isinstance(layer, SparseLinear):
        dense: Any = nn.Linear(layer.in_features, layer.out_features, bias, dtype=dtype)
    else:
        sizes = layer.in_channels, layer.out_channels, layer.shape[2:]
        how = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
        how |= dict(groups=layer.groups, bias=bias, padding_mode=layer.padding_mode)
        dense = nn.Conv2d(*sizes, **how, dtype=dtype)
    dense.weight.copy_(layer.to_dense())
    if bias:
        dense.bias.copy_(layer.bias)
    return dense.eval()
