"""Convolutions that the library computes wrongly, by those of it that are right."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.nets.convolution import BLOCK, Subsampled, convolution
from harness.nets.resnet20 import resnet20
from resnet.blocks import Convolutions


def whole(*shape):
    """Numbers of which float32 adds up some millions without rounding."""
    return torch.randint(-4, 5, shape).float()


# (the largest of these kills the process where the stride is the library's, or is answered wrongly)
@pytest.mark.parametrize(("inputs", "groups"), [(4, 1), (15, 1), (24, 2)])
@pytest.mark.parametrize("side", [7, 64])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_small_strided_convolution_is_that_of_float64(inputs, groups, side, layout):
    conv = convolution(inputs, 8, 1, 2, groups)
    assert type(conv) is Subsampled
    x, weight = whole(32, inputs, side, side), whole(*conv.weight.shape)
    conv.weight.data = weight.contiguous(memory_format=layout)
    x = x.contiguous(memory_format=layout).requires_grad_()
    exact = [t.detach().double().requires_grad_() for t in (x, weight)]
    y, expected = conv(x), F.conv2d(*exact, stride=2, groups=groups)
    assert torch.equal(y.double(), expected)
    g = whole(*y.shape)
    found = torch.autograd.grad(y, [x, conv.weight], g)
    for got, right in zip(found, torch.autograd.grad(expected, exact, g.double()), strict=True):
        assert torch.equal(got.double(), right)


@pytest.mark.parametrize(
    "words", [(BLOCK, 32, 1, 2), (4, 8, 3, 2), (4, 8, 1, 1), (2 * BLOCK, 32, 1, 2, 2)]
)
def test_other_convolutions_are_the_librarys(words):
    assert type(convolution(*words)) is nn.Conv2d


def test_small_nets_are_made_of_them():
    kinds = [type(m) for m in resnet20(4).modules() if isinstance(m, nn.Conv2d)]
    assert kinds.count(Subsampled) == 2
    assert type(Convolutions().shortcut(8, 16, 2)) is Subsampled
