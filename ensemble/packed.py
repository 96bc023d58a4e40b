"""Layers that hold many nets as one, in separate parts (packed ensembles).

    | w0 |    |    |      every member has alpha / members of the width of the net that was packed,
    |    | w1 |    |      so alpha = members is as many whole nets
    |    |    | w2 |

    net = nn.Sequential(
        PackedLinear(784, 64, 4, alpha=2, first=True), nn.ReLU(),    # 784 -> 4 x 32
        PackedLinear(64, 10, 4, alpha=2, last=True), Members(4))     # 4 x 32 -> (4, batch, 10)

Laurent et al., "Packed-Ensembles", ICLR 2023. One weight for all members: ensemble.shared.
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from bibd.pattern import check_whole
from harness.cost import held_bytes


def width(features: int, members: int, alpha: float) -> int:
    """Return how wide one member is, of a layer that was `features` wide.

    Raises:
        ValueError: members or alpha that are none.
    """
    check_whole("members", members, 1)
    if not 0 < alpha <= members:
        raise ValueError(
            f"alpha is above 0 and at most members={members}, where each is a whole net; got "
            f"{alpha}"
        )
    return max(1, ceil(alpha * features / members))


class PackedLinear(nn.Module):
    """Linear layers side by side: maps (batch, members * in) to (batch, members * out).

    Args:
        in_features: Width of the input of the layer that is packed.
        out_features: Width of its output.
        members: How many.
        alpha: How much wider all of them together are than the layer: each member has
            alpha / members of its widths, rounded up.
        bias: Adds a learned vector.
        first: All members read the whole input, (batch, in_features).
        last: Each member has all outputs, out_features of them.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        members: int,
        alpha: float = 1,
        bias: bool = True,
        first: bool = False,
        last: bool = False,
    ):
        super().__init__()
        inputs = in_features if first else width(in_features, members, alpha)
        outputs = out_features if last else width(out_features, members, alpha)
        self._take([nn.Linear(inputs, outputs, bias) for _ in range(members)], first)

    def _take(self, layers: Sequence[nn.Linear], first: bool) -> None:
        self.first = first
        self.weight = nn.Parameter(torch.stack([m.weight.detach() for m in layers]))
        biases = [m.bias.detach() for m in layers if m.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None

    @classmethod
    def of(cls, layers: Sequence[nn.Linear], first: bool = False) -> Self:
        """Pack separate layers, whose numbers are copied.

        Raises:
            ValueError: no layers, or layers that differ.
        """
        kinds = {(m.extra_repr(), m.weight.dtype) for m in layers}
        if len(kinds) != 1:
            said = ", ".join(f"{m} of {m.weight.dtype}" for m in layers) or "none"
            raise ValueError(f"packed layers are alike, one or more, got {said}")
        packed = cls.__new__(cls)
        nn.Module.__init__(packed)
        packed._take(layers, first)
        return packed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, members * in), or (batch, in) of a first layer.

        Raises:
            ValueError: another width.
        """
        members, _, inputs = self.weight.shape
        wide = inputs if self.first else members * inputs
        if x.ndim != 2 or x.shape[1] != wide:
            raise ValueError(
                f"{members} packed members take input of shape (batch, {wide}), got "
                f"{tuple(x.shape)}; the first layer of a net says first=True"
            )
        bias = None if self.bias is None else self.bias.flatten()
        if self.first:
            return F.linear(x, self.weight.flatten(0, 1), bias)
        parts = x.view(len(x), members, inputs).transpose(0, 1)
        y = torch.bmm(parts, self.weight.mT).transpose(0, 1).flatten(1)
        return y if bias is None else y + bias

    def cost(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> dict[str, int]:
        """Return what all members cost for one sample, by the cost protocol."""
        n = self.weight.numel()
        adds = prod(output_shape) if self.bias is not None else 0
        return dict(macs=output_shape[0] * n, nonzeros=n, bytes=held_bytes(self), bias_adds=adds)

    def extra_repr(self) -> str:
        """Return the sizes of one member, for print(net)."""
        members, outputs, inputs = self.weight.shape
        return f"{members} x ({inputs}, {outputs}), first={self.first}"


def packed_conv2d(layers: Sequence[nn.Conv2d], first: bool = False) -> nn.Conv2d:
    """Return one convolution in groups that holds separate ones, whose numbers are copied.

    Args:
        layers: Convolutions of one size.
        first: All members read the same channels: a wide convolution instead of one in groups.

    Raises:
        ValueError: convolutions that differ, or a first one that is itself in groups.
    """
    if len({m.extra_repr() for m in layers}) != 1:
        said = ", ".join(map(str, layers)) or "none"
        raise ValueError(f"packed convolutions are alike, one or more, got {said}")
    a = layers[0]
    if first and a.groups > 1:
        raise ValueError(f"a first convolution that is packed has no groups, got {a}")
    parts, sizes = len(layers), (1 if first else len(layers))
    packed = nn.Conv2d(
        *(a.in_channels * sizes, a.out_channels * parts, a.kernel_size),  # pyright: ignore
        *(a.stride, a.padding, a.dilation, a.groups * sizes),  # pyright: ignore
        bias=a.bias is not None,
        padding_mode=a.padding_mode,  # pyright: ignore[reportArgumentType]
        device=a.weight.device,
        dtype=a.weight.dtype,
    )
    with torch.no_grad():
        packed.weight.copy_(torch.cat([m.weight for m in layers]))
        if packed.bias is not None:
            packed.bias.copy_(torch.cat([m.bias for m in layers if m.bias is not None]))
    return packed


class Members(nn.Module):
    """Takes packed answers apart: (batch, members * classes) to (members, batch, classes)."""

    def __init__(self, members: int):
        super().__init__()
        check_whole("members", members, 1)
        self.members = members

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers with members on a leading axis, as `ensemble.pooled` takes them."""
        return x.unflatten(1, (self.members, -1)).movedim(1, 0)
