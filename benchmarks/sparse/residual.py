"""A small residual net with ResNet-18's shape for 32 x 32 images, for any kind of convolution.

    stem 3 -> 64, then four stages of two blocks: 64, 128, 256, 512 channels, halving the image

Stem, 1 x 1 shortcuts and classifier are dense on all sides; `conv(inputs, outputs, size, stride,
bias)` makes the convolutions of the blocks. Without norm there are biases instead: a net whose
batch norms have been folded into its convolutions, as one would for inference.
"""

from collections.abc import Callable

import torch
from torch import nn

WIDTHS = 64, 128, 256, 512
Conv = Callable[[int, int, int, int, bool], nn.Module]  # inputs, outputs, size, stride, bias


class Block(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, inputs: int, outputs: int, stride: int, conv: Conv, norm: bool):
        super().__init__()
        self.main = nn.Sequential(
            conv(inputs, outputs, 3, stride, not norm),
            _norm(outputs, norm),
            nn.ReLU(inplace=True),
            conv(outputs, outputs, 3, 1, not norm),
            _norm(outputs, norm),
        )
        self.past = nn.Identity()
        if stride > 1 or inputs != outputs:
            shortcut = conv(inputs, outputs, 1, stride, not norm)
            self.past = nn.Sequential(shortcut, _norm(outputs, norm))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of both ways."""
        return self.main(x).add_(self.past(x)).relu_()


def _norm(channels: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm else nn.Identity()


def net(conv: Conv, norm: bool, classes: int = 10) -> nn.Sequential:
    """The whole net."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=not norm),
        _norm(WIDTHS[0], norm),
        nn.ReLU(inplace=True),
    ]
    inputs = WIDTHS[0]
    for i, width in enumerate(WIDTHS):
        for stride in (1 if i == 0 else 2, 1):
            layers.append(Block(inputs, width, stride, conv, norm))
            inputs = width
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)
    return nn.Sequential(*layers, *head)


def dense(inputs: int, outputs: int, size: int, stride: int, bias: bool) -> nn.Module:
    """An ordinary convolution."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias)
