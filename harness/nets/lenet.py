"""LeNet-5 as the compression papers have it (Caffe's form), 430,500 weights for MNIST.

    28 x 28    conv 20 5x5, pool    conv 50 5x5, pool    800 - 500 - 10

LeNet-300-100, which they use beside it, is harness.nets.perceptron.mlp((784, 300, 100, 10)).
"""

from torch import nn

from harness.nets.staged import Staged, he
from harness.seeding import seeded

SMALLEST = 16  # pixels across


def lenet5(shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10, seed: int = 0) -> Staged:
    """Build the net, with He's start; convolutions have half its variance, as no ReLU follows them.

    Args:
        shape: Channels, height and width of a picture.
        classes: Answers.
        seed: Of its start.

    Raises:
        ValueError: pictures that are too small for two windows of five pixels with pooling.
    """
    channels, *sides = shape
    if min(sides) < SMALLEST:
        raise ValueError(
            f"LeNet-5 reads pictures of at least {SMALLEST} x {SMALLEST} pixels, got "
            f"{sides[0]} x {sides[1]}: take mnist, or lenet_300_100"
        )
    high, wide = (((side - 4) // 2 - 4) // 2 for side in sides)
    with seeded(seed, "init"):
        net = Staged(
            nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(50 * high * wide, 500), nn.ReLU(),
            nn.Linear(500, classes),
        )  # fmt: skip
        he(net)
        for module in net.stages:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    return net
