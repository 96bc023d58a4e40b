"""VGG16 without norms for 32 x 32 images (Simonyan and Zisserman 2015), in 16 parts.

    parts     0    1      2     3      4     5     6      7     8     9      10    11    12
    channels  64   64 p   128   128 p  256   256   256 p  512   512   512 p  512   512   512 p
    parts     13                              14                 15
              pool to 7 x 7, linear, dropout  linear, dropout    linear

Each convolution is 3 x 3 with a bias and a ReLU; p halves the image. `width` is the channels of the
first one, and everything else keeps its ratio to it: the hidden layers of the classifier have 64
times as many (4,096). The 1 x 1 image at the end is repeated 7 x 7 times, as torchvision's pooling
does for small images: those 49 copies make the first linear layer what it is.

Without norms torch's own start leaves the net at chance; this one is He's, in the classifier too.

The SpecTrain script (1809.02839) put parts 0-3 | 4-15 on two devices, and 0-1 | 2-4 | 5-9 | 10-15
on four.
"""

from itertools import pairwise
from typing import ClassVar

from torch import nn

from harness.nets.dropout import KeyedDropout
from harness.nets.staged import Staged, check_width, he
from harness.seeding import seeded

# Channels of each convolution in units of the first one's, and whether a pooling follows.
PLAN = (
    *((1, False), (1, True), (2, False), (2, True)),
    *((4, False), (4, False), (4, True)),
    *((8, False), (8, False), (8, True)),
    *((8, False), (8, False), (8, True)),
)
HIDDEN = 64  # hidden units of the classifier, in the same units
SIDE = 7  # of the image that the classifier reads


class VGG16(Staged):
    """Input (samples, channels, 32, 32); other sides work too."""

    CUTS: ClassVar[dict[int, list[int]]] = {2: [4], 4: [2, 5, 10]}


def vgg16(
    width: int = 64, classes: int = 10, channels: int = 3, dropout: float = 0.5, seed: int = 0
) -> VGG16:
    """A net with this seed's first weights.

    Args:
        width: Channels of the first convolution; 64 is the published net.
        classes: Number of logits.
        channels: Of an image.
        dropout: Behind both hidden layers of the classifier (keyed: harness.nets.dropout).
        seed: Of the weights.
    """
    check_width(width, 1, "VGG16")
    counts = [channels, *(width * units for units, _ in PLAN)]
    with seeded(seed, "init"):
        parts = [
            _convolution(a, b, halve)
            for (a, b), (_, halve) in zip(pairwise(counts), PLAN, strict=True)
        ]
        net = VGG16(*parts, *_classifier(counts[-1], width * HIDDEN, classes, dropout))
        he(net)
    return net


def _convolution(inputs: int, outputs: int, halve: bool) -> nn.Sequential:
    pool = [nn.MaxPool2d(2)] if halve else []
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True), *pool)


def _classifier(channels: int, hidden: int, classes: int, dropout: float) -> list[nn.Module]:
    first = [nn.AdaptiveAvgPool2d(SIDE), nn.Flatten(), nn.Linear(channels * SIDE**2, hidden)]
    return [
        nn.Sequential(*first, nn.ReLU(inplace=True), KeyedDropout(dropout, layer=13)),
        nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), KeyedDropout(dropout, layer=14)
        ),
        nn.Linear(hidden, classes),
    ]
