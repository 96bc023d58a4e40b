"""DenseNet121 for 32 x 32 images (Huang et al. 2017), in 6 parts.

    parts     0       1                2                  3                  4            5
              stem    6 layers, shrink  12 layers, shrink  24 layers, shrink  16 layers    end
    channels  64      128               256                512                1,024
    side      32      16                8                  4                  4

A layer adds `growth` channels to those that it reads: norm, ReLU, 1 x 1 to four times as many,
norm, ReLU, 3 x 3. Shrinking halves channels (1 x 1) and image (average). The stem for small images
is one 3 x 3 convolution, without the pooling that ImageNet's has. `width` is the channels of the
stem, twice the growth. Convolutions start as He's.

The SpecTrain script (1809.02839) cut it at the ends of the blocks: stem and block 1 | the rest on
two devices, a block on each of four.
"""

from typing import ClassVar

import torch
from torch import nn

from harness.nets.staged import Staged, check_width, he
from harness.seeding import seeded

LAYERS = (6, 12, 24, 16)


class DenseNet121(Staged):
    """Input (samples, channels, 32, 32); other sides of 8 or more work too."""

    CUTS: ClassVar[dict[int, list[int]]] = {2: [2], 4: [2, 3, 4]}


def densenet121(
    width: int = 64, classes: int = 10, channels: int = 3, seed: int = 0
) -> DenseNet121:
    """A net with this seed's first weights.

    Args:
        width: Channels of the stem, twice the growth; 64 is the published net.
        classes: Number of logits.
        channels: Of an image.
        seed: Of the weights.
    """
    check_width(width, 2, "DenseNet121")
    with seeded(seed, "init"):
        parts = [nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False))]
        held = width
        for block, count in enumerate(LAYERS):
            layers = [Dense(held + i * width // 2, width // 2) for i in range(count)]
            held += count * width // 2
            parts.append(nn.Sequential(*layers))
            if block < len(LAYERS) - 1:
                parts[-1].extend(_shrink(held))
                held //= 2
        net = DenseNet121(*parts, nn.Sequential(*_norm(held), *_end(held, classes)))
        he(net)
    return net


class Dense(nn.Module):
    """What it reads, and `growth` channels more."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        first = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        second = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.more = nn.Sequential(*_norm(inputs), first, *_norm(4 * growth), second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples, inputs, ...) to (samples, inputs + growth, ...)."""
        return torch.cat([x, self.more(x)], 1)


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _shrink(channels: int) -> list[nn.Module]:
    return [
        *_norm(channels),
        nn.Conv2d(channels, channels // 2, 1, bias=False),
        nn.AvgPool2d(2),
    ]


def _end(channels: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
