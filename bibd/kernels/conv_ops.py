"""Makes the sparse convolutions torch operators, as bibd.kernels.linear_ops the linear layers.

y = conv(x, v)                 dx = conv(g, v, back)        dv = sample(g, x)
dv = sample(g, x)              dg = conv(x, h)              dx = conv(g, h, back)

`tile` is for a card: the side of the tiles in which channels are connected.
"""

from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from bibd.kernels import modes, native
from bibd.kernels.gpu import card, convolutions
from bibd.kernels.gpu.windows import Window, like
from bibd.kernels.library import LIBRARY, eager, given, members_of, together
from bibd.kernels.table import Table

LIBRARY.define(
    "conv(Tensor x, Tensor values, Tensor flat, int inputs, int outputs, int groups, "
    "SymInt height, SymInt width, int stride, int[] padding, bool back, int tile=0) -> Tensor"
)
LIBRARY.define(
    "conv_sample(Tensor grad, Tensor x, Tensor flat, int inputs, int outputs, int groups, "
    "int window, int stride, int[] padding, int tile=0) -> Tensor"
)


def _conv(x, values, flat, inputs, outputs, groups, height, width, stride, padding, back, tile=0):
    if x.ndim != 4 or values.ndim != 3 or len(flat) != 1:
        raise ValueError(f"expected x (images, channels, height, width), got {tuple(x.shape)}")
    if card.on_card(x):
        together(x, values, flat)
        of = _window((height, width), values.shape[-1], stride, padding)
        channels, size = (outputs, of.result) if back else (inputs, of.size)
        _fits("images", x, (len(x), channels, *size))
        _fits("values", values, (flat.shape[1], of.side, of.side))
        return convolutions.convolve(x, values, flat, (inputs, outputs, groups), of, back, tile)
    found = given(flat, inputs, outputs, groups)
    shape = native.shape(len(x), (height, width), found, values.shape[-1], stride, list(padding))
    return native.conv(x, values, None, found, shape, back)


def _sample(grad, x, flat, inputs, outputs, groups, window, stride, padding, tile=0):
    if x.ndim != 4 or grad.ndim != 4 or len(flat) != 1:
        raise ValueError(f"expected (images, channels, height, width), got {tuple(x.shape)}")
    size = tuple(x.shape[2:])
    if card.on_card(x):
        together(grad, x, flat)
        of = _window(size, window, stride, padding)
        _fits("images", x, (len(x), inputs, *size))
        _fits("their gradients", grad, (len(x), outputs, *of.result))
        return convolutions.sample(grad, x, flat, (inputs, outputs, groups), of, tile)
    found = given(flat, inputs, outputs, groups)
    shape = native.shape(len(x), size, found, window, stride, list(padding))
    return native.conv_sampled(grad, x, found, shape)


def _fits(what: str, got: torch.Tensor, wanted: tuple[int, ...]) -> None:
    """Refuse a shape, as a card's kernels read what they are told."""
    if tuple(got.shape) != wanted:
        raise ValueError(f"expected {what} of shape {wanted}, got {tuple(got.shape)}")


def window_of(geometry: tuple[int, ...]) -> Window:
    """Return the geometry of a layer: window, stride, padding above and left, height and width."""
    window, stride, top, left, high, wide = geometry
    return _window((high, wide), window, stride, (top, left))


def _window(size, window: int, stride: int, padding) -> Window:
    result = result_size(size, window, stride, padding)
    return Window(tuple(size), tuple(result), window, stride, tuple(padding))


for _device in ("CPU", "CUDA"):
    LIBRARY.impl("conv", _conv, _device)
    LIBRARY.impl("conv_sample", _sample, _device)


def result_size(size, window, stride, padding):
    """Return the height and width of what a convolution returns."""
    return [(n + 2 * p - window) // stride + 1 for n, p in zip(size, padding, strict=True)]


@torch.library.register_fake("iddl::conv", lib=LIBRARY)
def _(x, values, flat, inputs, outputs, groups, height, width, stride, padding, back, tile=0):
    channels, size = outputs, result_size((height, width), values.shape[-1], stride, padding)
    if back:
        channels, size = inputs, [height, width]
    if card.on_card(x):
        return like(x, channels, (size[0], size[1]))
    return x.new_empty(x.shape[0], channels, *size)


@torch.library.register_fake("iddl::conv_sample", lib=LIBRARY)
def _(grad, x, flat, inputs, outputs, groups, window, stride, padding, tile=0):
    return x.new_empty(flat.shape[-1], window, window)


@register_flop_formula(torch.ops.iddl.conv)
def _(
    x, values, flat, inputs, outputs, groups, height, width, stride, padding, back, *rest, **options
) -> int:
    high, wide = result_size((height, width), values[-1], stride, padding)
    return 2 * x[0] * high * wide * values[0] * values[1] * values[2]


@register_flop_formula(torch.ops.iddl.conv_sample)
def _(grad, x, flat, inputs, outputs, groups, window, stride, padding, *rest, **options) -> int:
    return 2 * grad[0] * grad[2] * grad[3] * flat[-1] * window * window


class Convolve(torch.autograd.Function):
    """The convolution by the registered operator; `size` is that of the input."""

    @staticmethod
    def forward(x, values, flat, inputs, outputs, groups, size, stride, padding, tile, back):
        options = inputs, outputs, groups, *size, stride, padding, back, tile
        return torch.ops.iddl.conv(x, values, flat, *options)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.options, ctx.back = inputs[3:10], inputs[10]

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, values, flat) = grads, ctx.saved_tensors
        of_x = of_values = None
        if ctx.needs_input_grad[0]:
            of_x = Convolve.apply(grad, values, flat, *ctx.options, not ctx.back)
        if ctx.needs_input_grad[1]:
            pair = (x, grad) if ctx.back else (grad, x)
            of_values = Sample.apply(*pair, flat, values.shape[-1], *ctx.options)
        return of_x, of_values, *[None] * 9

    @staticmethod
    def vmap(info, dims, x, values, flat, *options):
        n = info.batch_size
        if dims[1] is None and dims[2] is None:  # one more batch axis
            y = Convolve.apply(x.movedim(dims[0], 0).flatten(0, 1), values, flat, *options)
            return y.unflatten(0, (n, -1)), 0
        parts = members_of(info, dims[:3], (x, values, flat))
        return torch.stack([Convolve.apply(*p, *options) for p in zip(*parts, strict=True)]), 0


class Sample(torch.autograd.Function):
    """The gradient of the kernels, by the registered operator."""

    @staticmethod
    def forward(grad, x, flat, window, inputs, outputs, groups, size, stride, padding, tile):
        options = inputs, outputs, groups, window, stride, padding, tile
        return torch.ops.iddl.conv_sample(grad, x, flat, *options)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[4:]

    @staticmethod
    def backward(ctx, *grads):
        (h,), (grad, x, flat) = grads, ctx.saved_tensors
        of_grad = Convolve.apply(x, h, flat, *ctx.options, False)
        of_x = Convolve.apply(grad, h, flat, *ctx.options, True)
        return of_grad, of_x, *[None] * 9

    @staticmethod
    def vmap(info, dims, grad, x, flat, *options):
        parts = members_of(info, dims[:3], (grad, x, flat))
        return torch.stack([Sample.apply(*p, *options) for p in zip(*parts, strict=True)]), 0


def differentiable(
    x: Any, values: Any, bias: Any, flat, sizes, stride: int, padding: list[int], tile: int = 0
):
    """Convolve by the operators, under any transform and autocast.

    The sizes are inputs, outputs and groups.
    """
    x, values, bias = modes.cast(x, values, bias)
    options = *sizes, tuple(x.shape[2:]), stride, padding, tile
    y: Any = Convolve.apply(x, values, flat, *options, False)
    return y if bias is None else y + bias[:, None, None]


class Fast(torch.autograd.Function):
    """The convolution in plain eager mode, which calls the library without a detour."""

    @staticmethod
    def forward(ctx, x, values, bias, table, stride, padding):
        ctx.save_for_backward(x, values)
        ctx.options = table, stride, padding
        ctx.shape = native.shape(
            len(x), tuple(x.shape[2:]), table, values.shape[-1], stride, padding
        )
        return native.conv(x, values, bias, table, ctx.shape, False)

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, values), table = grads, ctx.saved_tensors, ctx.options[0]
        of_x = of_values = of_bias = None
        wanted = ctx.needs_input_grad[:2]
        if ctx.needs_input_grad[2]:
            of_bias = grad.sum((0, 2, 3))
        if torch.is_grad_enabled() or modes.batched(grad) or not eager(grad, x):
            again = _many if modes.batched(grad) else _again
            found = again(wanted, grad, x, values, table, *ctx.options[1:])
            return *found, of_bias, None, None, None
        if wanted[0]:
            of_x = native.conv(grad, values, None, table, ctx.shape, True)
        if wanted[1]:
            of_values = native.conv_sampled(grad, x, table, ctx.shape)
        return of_x, of_values, of_bias, None, None, None


def _again(wanted, grad, x, values, table: Table, stride: int, padding: list[int]):
    """Return gradients that can be differentiated in turn, or that something watches."""
    sizes = table.inputs, table.outputs, table.groups, tuple(x.shape[2:]), stride, padding, 0
    of_x = Convolve.apply(grad, values, table.flat, *sizes, True) if wanted[0] else None
    window = values.shape[-1]
    of_values = Sample.apply(grad, x, table.flat, window, *sizes) if wanted[1] else None
    return of_x, of_values


def _many(wanted, grad, x, values, table: Table, stride: int, padding: list[int]):
    """Return gradients that come many at a time, by a full weight in terms torch can map."""
    width = table.inputs // table.groups
    full = values.new_zeros(table.outputs * width, *values.shape[1:])
    weight = full.index_put((table.flat[0],), values).view(-1, width, *values.shape[1:])
    how = [stride, stride], padding, [1, 1], False, [0, 0], table.groups, [*wanted, False]
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(grad, x, weight, None, *how)
    return of_x, of_weight.reshape(-1, *values.shape[1:])[table.flat[0]] if wanted[1] else None


def native_conv(x, values, bias, table: Table, stride: int, padding: list[int]) -> torch.Tensor:
    """Return what F.conv2d would for the masked kernels; x is (images, channels, h, w)."""
    if torch.is_grad_enabled() and (
        x.requires_grad or values.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return Fast.apply(x, values, bias, table, stride, padding)  # pyright: ignore
    shape = native.shape(len(x), tuple(x.shape[2:]), table, values.shape[-1], stride, padding)
    return native.conv(x, values, bias, table, shape, False)
