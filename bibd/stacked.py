"""Sparse layers of one size side by side: seeds, members, workers.

Linear layers are one batched product. Convolutions go one after the other: as one grouped
convolution they are slower on a CPU.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from bibd import kernels
from bibd.pattern import diagonal
from bibd.state import Patterned

if TYPE_CHECKING:
    from bibd.conv import SparseConv2d
    from bibd.linear import SparseLinear


class StackedSparseLinear(Patterned):
    """Members of equal size side by side: (members, batch, in) to (members, batch, out).

    Their patterns may differ, their number of connections may not.
    """

    def __init__(self, layers: "Sequence[SparseLinear]"):
        super().__init__()
        _check_equal(layers)
        self.shape = layers[0].out_features, layers[0].in_features
        self.backend = layers[0].backend
        self.pattern = diagonal([m.pattern for m in layers])
        self.tables = [m.pattern for m in layers]
        self.weight = nn.Parameter(torch.stack([m.weight.detach() for m in layers]))
        biases = [m.bias.detach() for m in layers if m.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases).unsqueeze(2)) if biases else None
        self.register_buffer("flat", None, persistent=False)
        self.fill()

    def make_table(self) -> torch.Tensor:
        """Where each connection stands in the weight of its member."""
        return torch.stack([torch.from_numpy(p.flat) for p in self.tables])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        path = self.route(x)
        if path == "native":
            weight, bias = self.held()
            return kernels.native_linear(x, weight, bias, self.table, len(weight))
        if path == "traced":
            sizes = self.shape[1], self.shape[0]
            return kernels.traced_linear(x, *self.held(), self.places(), *sizes)
        if path == "bag":
            return kernels.bag_stacked(x, self.weight, self.bias, self.pattern)
        return kernels.dense_stacked(x, self.weight, self.bias, self.places(), self.shape)

    @property
    def table(self) -> kernels.Table:
        """The connections of all members; one for all if they share a pattern."""
        return kernels.stacked(self.pattern, self.tables)

    def path(self, x: torch.Tensor) -> str:
        """How this input would be multiplied: dense, bag or native."""
        backend = kernels.wanted(self.backend)
        members, nonzeros = self.weight.shape
        sizes = self.shape[1], self.shape[0], nonzeros, members
        return kernels.choose(backend, (x, self.weight), sizes, (), lambda: self.trials(x))

    def trials(self, x: torch.Tensor):
        """What makes the calls to be timed, for inputs like this one."""
        flat, bias = self.places(), self.bias is not None
        return kernels.stack_trials(self.pattern, self.table, flat, self.shape, bias)


def _check_equal(layers: "Sequence[SparseLinear]") -> None:
    for what, of in {
        "shape": lambda m: m.shape,
        "number of connections": lambda m: m.pattern.nonzeros,
        "bias": lambda m: m.bias is not None,
        "dtype": lambda m: m.weight.dtype,
    }.items():
        found = list(dict.fromkeys(of(m) for m in layers))
        if len(found) > 1:
            raise ValueError(f"layers of a stack need the same {what}, got {found}")


class LoopedSparseConv2d(nn.Module):
    """Members one after the other: (members, batch, channels, h, w); they may differ in pattern."""

    def __init__(self, layers: "Sequence[SparseConv2d]"):
        super().__init__()
        self.members = nn.ModuleList(copy.deepcopy(layer) for layer in layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        return torch.stack([m(part) for m, part in zip(self.members, x, strict=True)])
