"""The seeds of a level side by side as one net, and where it holds the weights of each.

stack    Sequential of Linear layers and of what acts element by element: one batched product
for all seeds, (seeds, out, in)
sparse   the same of layers that hold only what their masks leave (bibd's stacked kernels)
loop     anything else, with convolutions: one member after the other
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from bibd.linear import StackedSparseLinear
from compress.pruning.freeze import freeze
from compress.tickets.level import Tensors, joined
from harness.stack import ELEMENTWISE, Loop, stack

WITHOUT = (*ELEMENTWISE, nn.Flatten)


def stackable(net: nn.Module) -> bool:
    """Return whether nets like this one become a stack that holds its weights by their names."""
    if type(net) is nn.Sequential:
        return all(stackable(layer) for layer in net)
    return type(net) is nn.Linear or type(net) in WITHOUT


class Side:
    """Members side by side.

    Args:
        net: What a member is like.
        start: The state of each member, with a leading axis.
        masks: What stays, with a leading axis.
        sparse: Hold only that.

    Raises:
        ValueError: `sparse` of what is no stack.
    """

    def __init__(self, net: nn.Module, start: Tensors, masks: Tensors, sparse: bool = False):
        self.count, self.looped = len(next(iter(start.values()))), not stackable(net)
        if sparse and self.looped:
            raise ValueError(
                "only a Sequential of Linear layers is a stack of sparse ones: sparse=False"
            )
        members = [copy.deepcopy(net) for _ in range(self.count)]
        for i, member in enumerate(members):
            member.load_state_dict({name: value[i] for name, value in start.items()})
            if sparse:
                freeze(member, {name: mask[i] for name, mask in masks.items()})
        self.net: nn.Module = Loop(members) if self.looped else stack(members)
        self.names = list(start)

    def masks(self, masks: Tensors) -> Tensors:
        """Return masks by the names of the dense weights that the net has here."""
        if self.looped:
            rows = [(f"members.{i}.{n}", m[i]) for n, m in masks.items() for i in range(self.count)]
            return dict(rows)
        return {name: mask for name, mask in masks.items() if not self._sparse(name)}

    def weights(self) -> Tensors:
        """Return a copy of the state of each member, dense, with a leading axis."""
        if self.looped:
            members: Any = self.net.members
            return joined([member.state_dict() for member in members])
        return dict(self._stacked())

    def _stacked(self) -> Iterator[tuple[str, torch.Tensor]]:
        state = self.net.state_dict()
        for name in self.names:
            value, sparse = state[name].detach().clone(), self._sparse(name)
            if name.endswith("bias"):
                yield name, value.squeeze(2)
            else:
                yield name, _dense(sparse, value) if sparse else value

    def _sparse(self, name: str) -> StackedSparseLinear | None:
        layer = self.net.get_submodule(name.rpartition(".")[0])
        return layer if isinstance(layer, StackedSparseLinear) else None


def _dense(layer: StackedSparseLinear, values: torch.Tensor) -> torch.Tensor:
    out, in_ = layer.shape
    found = values.new_zeros(len(values), out * in_)
    return found.scatter_(1, layer.flat.to(values.device), values).view(-1, out, in_)
