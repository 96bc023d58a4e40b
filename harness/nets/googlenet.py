"""GoogLeNet with norms for 32 x 32 images (Szegedy et al. 2015), in 11 parts.

    parts   0     1    2        3   4   5   6   7        8   9    10
            stem  3a   3b pool  4a  4b  4c  4d  4e pool  5a  5b   average, linear
    side    32    32   16       16  16  16  16  8        8   8

    inception    x --> 1x1 ------------------.
                 |---> 1x1, 3x3 -------------+--> side by side
                 |---> 1x1, 3x3, 3x3 --------|
                 `---> pool 3x3, 1x1 --------'

Each convolution is followed by a norm and a ReLU. Two 3 x 3 stand for the paper's 5 x 5, and the
stem is one 3 x 3 convolution without pooling, as in the SpecTrain script (1809.02839). `width` is
the channels of the first 1 x 1 branch; all others keep their ratio to it. Convolutions start as
He's.

The script put parts 0-2 | 3-10 on two devices, and 0-1 | 2 | 3-4 | 5-10 on four.
"""

from typing import ClassVar

import torch
from torch import nn

from harness.nets.staged import Staged, check_width, he
from harness.seeding import seeded

FULL = 64  # the width of the published net, in whose channels the table is
STEM = 192
# Channels: 1x1 | 1x1, 3x3 | 1x1, 3x3 3x3 | behind the pooling; and whether a pooling follows.
PLAN = (
    ((64, 96, 128, 16, 32, 32), False),
    ((128, 128, 192, 32, 96, 64), True),
    ((192, 96, 208, 16, 48, 64), False),
    ((160, 112, 224, 24, 64, 64), False),
    ((128, 128, 256, 24, 64, 64), False),
    ((112, 144, 288, 32, 64, 64), False),
    ((256, 160, 320, 32, 128, 128), True),
    ((256, 160, 320, 32, 128, 128), False),
    ((384, 192, 384, 48, 128, 128), False),
)


class GoogLeNet(Staged):
    """Input (samples, channels, 32, 32); other sides of 4 or more work too."""

    CUTS: ClassVar[dict[int, list[int]]] = {2: [3], 4: [2, 3, 5]}


def googlenet(width: int = 64, classes: int = 10, channels: int = 3, seed: int = 0) -> GoogLeNet:
    """A net with this seed's first weights.

    Args:
        width: Channels of the first 1 x 1 branch, a multiple of 8; 64 is the published net.
        classes: Number of logits.
        channels: Of an image.
        seed: Of the weights.
    """
    check_width(width, 8, "GoogLeNet")
    with seeded(seed, "init"):
        held = STEM * width // FULL
        parts = [_convolution(channels, held, 3)]
        for counts, halve in PLAN:
            branches = [count * width // FULL for count in counts]
            pool = [nn.MaxPool2d(3, stride=2, padding=1)] if halve else []
            parts.append(nn.Sequential(Inception(held, *branches), *pool))
            held = branches[0] + branches[2] + branches[4] + branches[5]
        end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(held, classes))
        net = GoogLeNet(*parts, end)
        he(net)
    return net


class Inception(nn.Module):
    """Four ways to read an image, side by side."""

    def __init__(self, inputs: int, one: int, to3: int, three: int, to5: int, five: int, pool: int):
        super().__init__()
        self.branches = nn.ModuleList(
            (
                _convolution(inputs, one, 1),
                nn.Sequential(_convolution(inputs, to3, 1), _convolution(to3, three, 3)),
                nn.Sequential(
                    _convolution(inputs, to5, 1),
                    *(_convolution(a, five, 3) for a in (to5, five)),
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _convolution(inputs, pool, 1)),
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples, inputs, ...) to (samples, one + three + five + pool, ...)."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def _convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
