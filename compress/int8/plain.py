"""A net as exporters can follow it: a copy with dense layers that answers all exits at once.

Exporters know no sparse kernels, and a graph that is fixed lets no sample leave early; both are
said in notes. Zeros stay zeros: int8 weights are symmetric around 0.
"""

import copy
from typing import Any

import torch
from torch import nn

from bibd.onnx.dense import densify


class Plain(nn.Module):
    """Answers a tuple, the logits of each exit; a net without exits has one.

    Args:
        net: Is copied.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net: Any = copy.deepcopy(net)
        self.eval()
        self.sparse = len(densify(self))
        self.early = hasattr(net, "forward_exits")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the logits of each exit."""
        return tuple(self.net.forward_exits(x)) if self.early else (self.net(x),)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the copy does otherwise than the net."""
        found = []
        if self.sparse:
            layers = f"{self.sparse} sparse layer{'s' * (self.sparse > 1)}"
            found.append(f"{layers} as dense: int8 multiplies their zeros, too")
        if self.early and hasattr(self.net, "early"):
            found.append("all exits are computed, no sample leaves early")
        return tuple(found)
