"""A net of sparse convolutions as a dense one under masks, which can be pruned further.

What the design leaves out is zero and masked; its patterns go to `pack` as supersets: the places
of what is left are then coded as a part of what words make again, or take no bytes at all.
"""

import copy
from typing import Any

import torch
from torch import nn

from bibd import Pattern, SparseConv2d
from compress.pruning.layers import found, parameter_of
from compress.pruning.masks import Masks, all_kept


def dense_twin(net: nn.Module) -> tuple[nn.Module, dict[str, Pattern]]:
    """Return a copy with nn.Conv2d in the place of sparse convolutions, and their patterns.

    The function is the same. Nets without such layers are copied as they are.
    """
    made, patterns = copy.deepcopy(net), {}
    sparse = {name: m for name, m in made.named_modules() if isinstance(m, SparseConv2d)}
    for name, layer in sparse.items():
        made.set_submodule(name, _dense(layer))
        patterns[name] = layer.pattern
    return made, patterns


@torch.no_grad()
def _dense(layer: SparseConv2d) -> nn.Conv2d:
    how: Any = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
    how |= dict(groups=layer.groups, bias=layer.bias is not None, padding_mode=layer.padding_mode)
    how |= dict(device=layer.weight.device, dtype=layer.weight.dtype)
    conv = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, **how)  # pyright: ignore
    conv.weight.copy_(layer.to_dense())
    if conv.bias is not None and layer.bias is not None:
        conv.bias.copy_(layer.bias)
    return conv


def masks_of(net: nn.Module, patterns: dict[str, Pattern]) -> Masks:
    """Return masks that leave the places of these patterns, and all of the other layers."""
    masks = all_kept(found(net))
    for layer, pattern in patterns.items():
        name = parameter_of(layer)
        table = torch.from_numpy(pattern.mask())[:, :, None, None]
        masks[name] = table.expand_as(masks[name]).contiguous()
    return masks
