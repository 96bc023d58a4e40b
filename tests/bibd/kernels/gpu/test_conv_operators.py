"""The operators of convolutions on a card: what compilers are told of them, and what they refuse."""

import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.bibd.kernels.gpu.test_windows import made


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("last", [False, True])
def test_operators_return_what_their_fakes_say(book, side, last):
    """Compilers go by that, and read memory in the order in which it should lie."""
    layer, x = made(48, 64, side, stride=2), torch.randn(2, 48, 7, 5)
    x = x.to(memory_format=torch.channels_last) if last else x
    sizes, how = (48, 64, 1), (2, [side // 2] * 2)

    def called(x, values, flat):
        y = torch.ops.iddl.conv(x, values, flat, *sizes, 7, 5, *how, False, 16)
        dx = torch.ops.iddl.conv(y, values, flat, *sizes, 7, 5, *how, True, 16)
        return y, dx, torch.ops.iddl.conv_sample(y, x, flat, *sizes, side, *how, 16)

    given = x, layer.weight.detach(), layer.flat[None]
    found = called(*given)
    with FakeTensorMode() as mode:
        fakes = called(*map(mode.from_tensor, given))
    assert [(t.shape, t.stride()) for t in fakes] == [(t.shape, t.stride()) for t in found]


def test_no_images_have_a_gradient_of_zero(book):
    flat = made(48, 48, 3).flat[None]
    nothing = torch.zeros(0, 48, 4, 4)
    dv = torch.ops.iddl.conv_sample(nothing, nothing, flat, 48, 48, 1, 3, 1, [1, 1], 16)
    assert not dv.any()


@pytest.mark.parametrize(
    ("x", "values", "words"),
    [
        ((1, 32, 4, 4), (3, 3), "expected images of shape (1, 48, 4, 4), got (1, 32, 4, 4)"),
        ((1, 48, 4, 5), (3, 3), "expected images of shape (1, 48, 4, 4), got (1, 48, 4, 5)"),
        ((1, 48, 4, 4), (3, 1), "expected values of shape"),
    ],
)
def test_shapes_that_kernels_would_read_beyond_are_refused(book, x, values, words):
    layer = made(48, 48, 3)
    values = torch.randn(len(layer.weight), *values)
    options = 48, 48, 1, 4, 4, 1, [1, 1], False, 16
    with pytest.raises(ValueError, match=re.escape(words)):
        torch.ops.iddl.conv(torch.randn(x), values, layer.flat[None], *options)
    with pytest.raises(ValueError, match="expected their gradients of shape"):
        torch.ops.iddl.conv_sample(
            torch.randn(1, 48, 5, 4), torch.randn(1, 48, 4, 4), layer.flat[None], 48, 48, 1, 3, 1,
            [1, 1], 16,
        )  # fmt: skip
    fewer = {"weight": layer.weight[:-256], "bias": layer.bias}
    with pytest.raises(ValueError, match="expected values of shape"):
        torch.func.functional_call(layer, fewer, (torch.randn(1, 48, 4, 4),))


def test_numbers_of_two_types_are_refused(book):
    layer = made(48, 48, 3)
    options = 48, 48, 1, 4, 4, 1, [1, 1], False, 16
    with pytest.raises(ValueError, match="expected tensors of one type on one device"):
        torch.ops.iddl.conv(
            torch.randn(1, 48, 4, 4), layer.weight.double(), layer.flat[None], *options
        )
