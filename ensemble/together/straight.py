"""Calls the layers of a stack without what torch does around each module, which is as slow as they.

Linear layers and what acts element by element between them also keep samples as columns from the
first to the last, so nothing is turned around in between.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from harness.stack import FEW, StackedLinear

BETWEEN = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity)  # (and draw nothing)
Call = Callable[[torch.Tensor], torch.Tensor]


def straight(net: nn.Module) -> Call:
    """Return what computes as a stack does: x (members, batch, ...) -> (members, batch, ...)."""
    layers = list(_layers(net))
    rows = _through([layer.forward for layer in layers])
    dense = [layer for layer in layers if type(layer) is StackedLinear]
    if not dense or any(type(m) not in (StackedLinear, *BETWEEN) for m in layers):
        return rows
    columns = _through([_columns(layer) for layer in layers])

    def call(x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] <= FEW and dense[0].by_one(x):
            return rows(x)
        return columns(x.mT).mT

    return call


def _layers(net: nn.Module) -> Iterator[nn.Module]:
    if type(net) is not nn.Sequential:
        yield net
        return
    for layer in net:
        yield from _layers(layer)


def _columns(layer: nn.Module) -> Call:
    """Return what a layer does to (members, in, samples); its parameters are read in each call."""
    if type(layer) is nn.ReLU:
        return torch.relu
    if type(layer) is not StackedLinear:
        return layer.forward
    own = layer._parameters  # (what a module goes through to find one costs as much as a product)

    def product(x: torch.Tensor) -> torch.Tensor:
        bias, weight = own.get("bias"), own["weight"]
        return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias, weight, x)  # pyright: ignore

    return product


def _through(calls: list[Call]) -> Call:
    def call(x: torch.Tensor) -> torch.Tensor:
        for each in calls:
            x = each(x)
        return x

    return call
