"""Builds the heads that answer early: what stands between a stage's output and logits.

conv      3 x 3 to 32 channels, ReLU, linear (the original study's)      images
pool      global average, linear                                         images
linear    linear                                                         anything
"""

import torch
from torch import nn

from harness.exits.words import HEADS
from harness.names import check

CHANNELS = 32  # of the convolution of a head


def make_head(kind: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build a head for inputs of this shape, which has no batch axis.

    Raises:
        ValueError: no such kind, or one that needs images where there are none.
    """
    check("head", kind, HEADS)
    if kind != "linear" and len(shape) != 3:
        raise ValueError(f"head {kind!r} needs images, this stage gives {shape}: use head='linear'")
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes))
    if kind == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], classes))
    conv = nn.Conv2d(shape[0], CHANNELS, 3, padding=1)
    linear = nn.Linear(CHANNELS * shape[1] * shape[2], classes)
    for layer in (conv, linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # pyright: ignore
    return nn.Sequential(conv, nn.ReLU(inplace=True), nn.Flatten(), linear)
