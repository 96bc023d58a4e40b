"""Many sparse linear layers of one size as one batched product: seeds, ensemble members, workers."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from bibd import kernels

if TYPE_CHECKING:
    from bibd.linear import SparseLinear


class StackedSparseLinear(nn.Module):
    """Members of equal size side by side: (members, batch, in) to (members, batch, out).

    Their patterns may differ, their number of connections may not.
    """

    flat: torch.Tensor

    def __init__(self, layers: "list[SparseLinear]"):
        super().__init__()
        self.shape = layers[0].shape
        self.weight = nn.Parameter(torch.stack([m.weight.detach() for m in layers]))
        biases = [m.bias.detach() for m in layers if m.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases).unsqueeze(1)) if biases else None
        self.register_buffer("flat", torch.stack([m.flat for m in layers]), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        weight = kernels.dense_weight(self.weight, self.flat, self.shape).mT
        return torch.bmm(x, weight) if self.bias is None else torch.baddbmm(self.bias, x, weight)
