"""Conv-2 and Conv-4 of the lottery ticket paper (arXiv 1803.03635), for small pictures.

    layers   channels of the convolutions, pooled by pairs    then
    2        64 64                                            256 - 256 - classes
    4        64 64 | 128 128                                  the same

All convolutions are 3 x 3 and keep the size of the picture; Glorot's normal start, biases of 0.
Conv-2 for CIFAR-10 has 4,301,642 parameters, nearly all of them behind the pictures.
"""

from itertools import pairwise

from torch import nn

from harness.names import unknown
from harness.nets.staged import Staged
from harness.seeding import seeded

PAIRS = {2: 1, 4: 2}
HIDDEN = 4  # times the first width: units of the two full layers


def convs(
    layers: int = 2,
    shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    width: int = 64,
    seed: int = 0,
) -> Staged:
    """Build the net.

    Args:
        layers: How many convolutions: 2 or 4.
        shape: Channels, height and width of a picture.
        classes: Answers.
        width: Channels of the first convolution; the other widths follow it.
        seed: Of its start.

    Raises:
        ValueError: another count of convolutions, or pictures that are too small to be halved.
    """
    if layers not in PAIRS:
        raise unknown("count of convolutions", layers, map(str, PAIRS))
    channels, *sides = shape
    high, wide = (side >> PAIRS[layers] for side in sides)
    if min(high, wide) < 1:
        raise ValueError(
            f"Conv-{layers} halves a picture {PAIRS[layers]} times, which leaves nothing of "
            f"{sides[0]} x {sides[1]} pixels: take larger pictures, or fewer layers"
        )
    counts = [channels, *(width << k for k in range(PAIRS[layers]))]
    hidden = HIDDEN * width
    with seeded(seed, "init"):
        parts = [_pair(a, b) for a, b in pairwise(counts)]
        full = [nn.Flatten(), nn.Linear(counts[-1] * high * wide, hidden), nn.ReLU()]
        full += [nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
        net = Staged(*parts, nn.Sequential(*full))
        _glorot(net)
    return net


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    first, second = (nn.Conv2d(n, outputs, 3, padding=1) for n in (inputs, outputs))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2))


def _glorot(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
