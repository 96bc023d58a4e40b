"""Convolutions without bias, safe where the library's are not.

oneDNN, which computes torch's convolutions on a CPU, writes past the end of its own buffer for the
gradient of a strided 1 x 1 weight of fewer inputs than one of its blocks (8 with AVX2, 16 with
AVX-512), if channels come last: wrong gradients, or the process dies (uxlfoundation/oneDNN#6035,
open in torch 2.15). Such a convolution takes its pixels first here, and has no stride then.
"""

import torch
from torch import nn
from torch.nn import functional as F

BLOCK = 16


def convolution(inputs: int, outputs: int, size: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """Return a convolution whose padding keeps the size of a picture but for the stride."""
    unsafe = size == 1 and stride > 1 and inputs // groups < BLOCK
    made = Subsampled if unsafe else nn.Conv2d
    return made(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


class Subsampled(nn.Conv2d):
    """A strided 1 x 1 convolution without padding, of each stride-th pixel alone."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the convolution of the pixels that count."""
        down, across = self.stride
        taken = input[..., ::down, ::across]
        return F.conv2d(taken, self.weight, self.bias, groups=self.groups)
