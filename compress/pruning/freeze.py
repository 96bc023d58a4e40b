"""`freeze(net, masks)`: masked layers become sparse ones, which hold only the weights that stay.

    report = compress.freeze(net, masks)        in place; make the optimizer afterwards
    print(report)

The function is the same, and so are the gradients of what stays. A sparse convolution holds whole
kernels: of one that has lost some of its entries, these are zeros that could grow again.
`report.masks` has them, for Masked(net, report.masks) if the net is trained on.

What is skipped, and why (hooks, classes of their own, weights that others read), is
`bibd.sparsify`'s to say; such layers stay as they are, with zeros in them.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from bibd import Pattern, from_mask, sparsify
from bibd.convert import Report
from bibd.layer import SparseLayer
from compress.pruning.layers import layer_of
from compress.pruning.masks import Masks, parameters, zero


@dataclass(frozen=True)
class Frozen:
    """What became of a net: print it for the table.

    Attributes:
        report: A line for each layer, as `bibd.sparsify` gives it.
        masks: Zeros that are still held: inside kernels, and in layers that could not be swapped.
    """

    report: Report
    masks: Masks

    def __str__(self) -> str:
        zeros = self.masks.of - self.masks.kept if self.masks else 0
        note = (
            f"{zeros:,} zeros are still held ({', '.join(map(layer_of, self.masks))}): "
            "Masked(net, report.masks) keeps them zero"
        )
        return "\n".join([str(self.report), *[note] * bool(zeros)])


def freeze(net: nn.Module, masks: Mapping[str, torch.Tensor]) -> Frozen:
    """Put sparse layers in the place of masked ones.

    Args:
        net: Its masked Linear and Conv2d layers are swapped, in place.
        masks: The names of their weights, and what stays.

    Raises:
        ValueError: masks that do not fit the net; a net that is itself a layer.
    """
    weights = parameters(net, masks)
    zero(weights, masks)
    groups = {name: getattr(net.get_submodule(layer_of(name)), "groups", 1) for name in masks}
    patterns = {layer_of(name): table(masks[name], groups[name]) for name in masks}
    with warnings.catch_warnings():
        # (that some inputs are read no more is what pruning is; the report says how many)
        warnings.filterwarnings("ignore", ".*(read by no output|swapped nothing)")
        report = sparsify(net, patterns, weights="keep")
    return Frozen(Report(report.lines), Masks(_left(net, masks)))


def table(mask: torch.Tensor, groups: int = 1) -> Pattern:
    """Return which outputs read which inputs; a kernel is read if any of its entries stays."""
    design = from_mask(mask.flatten(2).any(2) if mask.ndim > 2 else mask, "pruned")
    return Pattern("pruned", design.v, design.b, design.indptr, design.indices, None, groups)


def _left(net: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return masks of the weights that are zero but held, in the shape that they are held in."""
    found = {}
    for name, mask in masks.items():
        layer = net.get_submodule(layer_of(name))
        held = mask
        if isinstance(layer, SparseLayer):
            held = mask.flatten(0, 1)[layer.flat.to(mask.device)] if mask.ndim > 2 else mask[mask]
        if not held.all():
            found[name] = held
    return found
