"""Layers of which all members have one weight, scaled for each (BatchEnsemble).

    W_m = W * s_m r_m^T      two vectors for each member, a bias of its own

Wen et al., "BatchEnsemble", ICLR 2020. Members that are separate: ensemble.packed.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bibd.pattern import check_whole
from harness.cost import held_bytes


class BatchEnsembleLinear(nn.Module):
    """One weight for all members, scaled for each by a vector at either end.

    A member is the linear layer of weight W_m = W * s_m r_m^T and of a bias of its own. Nothing is
    repeated: the members' axis leads, and where all read one input, (batch, in), it is made here.

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        members: How many.
        bias: Adds a learned vector, one for each member.
        spread: Standard deviation of the vectors around 1; 0: random signs.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        members: int,
        bias: bool = True,
        spread: float = 0.5,
    ):
        super().__init__()
        check_whole("members", members, 1)
        shared = nn.Linear(in_features, out_features, bias)
        self.weight, first = shared.weight, shared.bias
        ends: list[Any] = [torch.empty(members, n) for n in (in_features, out_features)]
        for end in ends:
            end.normal_(1, spread) if spread else end.bernoulli_(0.5).mul_(2).sub_(1)
        self.r, self.s = (nn.Parameter(end) for end in ends)
        copies = None if first is None else first.detach().expand(members, -1).clone()
        self.bias = None if copies is None else nn.Parameter(copies)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, in), or (members, batch, in), to (members, batch, out).

        Raises:
            ValueError: an input of other axes.
        """
        members, inputs = self.r.shape
        if x.shape[-1:] != (inputs,) or x.ndim not in (2, 3) or (x.ndim == 3 and len(x) != members):
            raise ValueError(
                f"expected an input (batch, {inputs}) or ({members}, batch, {inputs}), got shape "
                f"{tuple(x.shape)}"
            )
        y = F.linear(x * self.r[:, None], self.weight) * self.s[:, None]
        return y if self.bias is None else y + self.bias[:, None]

    @torch.no_grad()
    def member(self, m: int) -> nn.Linear:
        """Return one member as an ordinary layer, whose numbers are copies."""
        outputs, inputs = self.weight.shape
        layer = nn.Linear(inputs, outputs, self.bias is not None).to(self.weight)
        layer.weight.copy_(self.weight * self.s[m][:, None] * self.r[m])
        if self.bias is not None:
            layer.bias.copy_(self.bias[m])
        return layer

    def extra_repr(self) -> str:
        """Return widths and members, for print(model)."""
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}, members={len(self.r)}, bias={self.bias is not None}"

    def cost(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> dict[str, int]:
        """Return what all members cost, by the cost protocol; both scalings are multiply-adds."""
        members, inputs = self.r.shape
        samples = prod(output_shape[1:-1]) if len(input_shape) == 2 else prod(input_shape[1:-1])
        each = self.weight.numel() + inputs + len(self.weight)
        adds = members * samples * len(self.weight) if self.bias is not None else 0
        held = self.weight.numel() + self.r.numel() + self.s.numel()
        return dict(
            macs=members * samples * each, nonzeros=held, bytes=held_bytes(self), bias_adds=adds
        )
