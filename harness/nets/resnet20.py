"""ResNet-20 for small pictures (He et al. 2016, section 4.2), as the lottery papers train it.

    stages   0        3 x 3 to `width` channels
             1 2 3    three blocks each of width, 2 and 4 times width; 2 and 3 halve the picture
             4        global average, classifier

A block is two 3 x 3 convolutions with norms; where sizes change, a 1 x 1 convolution with a norm
goes past it. Of width 16 it has 272,474 parameters. He's normal start.

(The study `resnet` has nets of four stages: the published ResNet-18 for CIFAR-10 and its kin.)
"""

import torch
from torch import nn

from harness.nets.convolution import convolution
from harness.nets.staged import Staged, he
from harness.seeding import seeded

BLOCKS = 3  # of each stage


class Block(nn.Module):
    """Two convolutions, and what goes past them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        first = _normed(inputs, outputs, 3, stride)
        self.main = nn.Sequential(*first, nn.ReLU(), *_normed(outputs, outputs, 3, 1))
        same = inputs == outputs and stride == 1
        self.past = nn.Identity() if same else nn.Sequential(*_normed(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the block answers, of the size that it makes."""
        return torch.relu(self.main(x) + self.past(x))


def resnet20(width: int = 16, classes: int = 10, channels: int = 3, seed: int = 0) -> Staged:
    """Build the net.

    Args:
        width: Channels of the stem; 16 is the published net.
        classes: Answers.
        channels: Of a picture.
        seed: Of its start.
    """
    with seeded(seed, "init"):
        stages = [nn.Sequential(*_normed(channels, width, 3, 1), nn.ReLU())]
        stages += [_stage(width << max(0, k - 1), width << k, 2 if k else 1) for k in range(3)]
        end = nn.Linear(4 * width, classes)
        net = Staged(*stages, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), end))
        he(net)
    return net


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    more = [Block(outputs, outputs, 1) for _ in range(BLOCKS - 1)]
    return nn.Sequential(Block(inputs, outputs, stride), *more)


def _normed(inputs: int, outputs: int, size: int, stride: int) -> list[nn.Module]:
    return [convolution(inputs, outputs, size, stride), nn.BatchNorm2d(outputs)]
