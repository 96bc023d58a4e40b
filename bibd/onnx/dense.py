"""Puts dense layers in the place of sparse ones: what exporters can follow."""

from typing import Any

import torch
from torch import nn

from bibd.conv import SparseConv2d
from bibd.layer import SparseLayer
from bibd.linear import SparseLinear


@torch.no_grad()
def densify(net: nn.Module) -> dict[str, SparseLayer]:
    """Swap all sparse layers within a net, in place; returns those that were there, by name."""
    found: dict[str, SparseLayer] = {}
    made: dict[int, nn.Module] = {}
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if isinstance(module, SparseLinear | SparseConv2d):
            if id(module) not in made:
                made[id(module)], found[name] = dense(module), module
            net.set_submodule(name, made[id(module)])
    return found


def dense(layer: Any) -> nn.Module:
    """Return the dense layer that computes the same."""
    bias, dtype = layer.bias is not None, layer.weight.dtype
    if isinstance(layer, SparseLinear):
        twin: Any = nn.Linear(layer.in_features, layer.out_features, bias, dtype=dtype)
    else:
        sizes = layer.in_channels, layer.out_channels, layer.shape[2:]
        how = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
        how |= dict(groups=layer.groups, bias=bias, padding_mode=layer.padding_mode)
        twin = nn.Conv2d(*sizes, **how, dtype=dtype)
    twin.weight.copy_(layer.to_dense())
    if bias:
        twin.bias.copy_(layer.bias)
    return twin.eval()
