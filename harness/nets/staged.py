"""A net as a row of parts, one tensor between each two: what exits, pipelines and profiles cut.

    x -> stages[0] -> stages[1] -> ... -> logits            forward is this composition, no more

Where a published script cut such a net over so many devices stands in the net's `CUTS`, as the
first part of the second device, of the third, ...: {2: [4], 4: [2, 5, 10]}.
"""

from typing import ClassVar

import torch
from torch import nn


class Staged(nn.Module):
    """The parts, one after the other."""

    CUTS: ClassVar[dict[int, list[int]]] = {}
    reads: torch.dtype | None = None  # of an input, where that is not the parameters'

    def __init__(self, *parts: nn.Module):
        super().__init__()
        self.stages = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits (samples, classes)."""
        return self.stages(x)


def check_width(width: int, unit: int, net: str) -> None:
    """Refuse a width from which no whole numbers of channels follow.

    Raises:
        ValueError: says which widths do.
    """
    if not isinstance(width, int) or width < 1 or width % unit:
        few = ", ".join(str(unit * k) for k in (1, 2, 4, 8))
        raise ValueError(
            f"the width of {net} is a multiple of {unit}, such as {few}; got {width!r}"
        )


def he(net: nn.Module) -> None:
    """Give convolutions and linear layers He's normal start by what they read, and biases of 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
