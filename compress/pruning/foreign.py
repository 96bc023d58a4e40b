"""Reads and writes the masks of torch.nn.utils.prune: weight = weight_orig * weight_mask.

    masks = from_torch(net, remove=True)      plain weights again, and their masks
    to_torch(net, masks)                      for code that expects weight_orig and weight_mask

A state dict with such names can be read too, without a net.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from compress.pruning.layers import KINDS, layer_of
from compress.pruning.masks import Masks, parameters

MASK = "_mask"
BIASES = "biases are masked there too, which is left to torch"


def from_torch(net: nn.Module | Mapping[str, Any], remove: bool = False) -> Masks:
    """Return the masks that torch.nn.utils.prune keeps in a net or in its state dict.

    Args:
        net: The net, or a state dict.
        remove: Make the masked weights plain parameters again, with zeros in them.

    Raises:
        ValueError: nothing is masked there; a state dict and `remove`.
    """
    state = net.state_dict() if isinstance(net, nn.Module) else net
    found = {k.removesuffix(MASK): v != 0 for k, v in state.items() if k.endswith(f"weight{MASK}")}
    if not found:
        raise ValueError(
            "no weight is masked by torch.nn.utils.prune here: there is no name that ends in "
            "weight_mask; compress.prune makes masks of a plain net"
        )
    notes = [BIASES] * any(k.endswith(f"bias{MASK}") for k in state)
    if remove:
        _remove(net, found)
    return Masks({name: mask.clone() for name, mask in found.items()}, notes)


def _remove(net: Any, names: Mapping[str, Any]) -> None:
    if not isinstance(net, nn.Module):
        raise ValueError("remove=True makes weights of a net plain; a state dict has no hooks")
    for name in names:
        torch_prune.remove(net.get_submodule(layer_of(name)), "weight")


def to_torch(net: nn.Module, masks: Mapping[str, torch.Tensor]) -> nn.Module:
    """Mask a net by torch.nn.utils.prune; returns it.

    What was masked before stays out: torch multiplies masks.

    Raises:
        ValueError: masks that do not fit the net, or of a layer that is no Linear or Conv2d.
    """
    weights = parameters(net, masks)
    for name in weights:
        layer = net.get_submodule(layer_of(name))
        if not isinstance(layer, KINDS):
            kind = type(layer).__name__
            raise ValueError(f"{layer_of(name)} is a {kind}: torch masks dense weights only")
    for name, weight in weights.items():
        layer = net.get_submodule(layer_of(name))
        torch_prune.custom_from_mask(layer, "weight", masks[name].to(weight.device))
    return net
