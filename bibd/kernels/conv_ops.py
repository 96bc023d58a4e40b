"""Convolutions by the native library, as bibd.kernels.ops has the linear layers.

y = conv(x, v)                 dx = conv(g, v, back)        dv = sample(g, x)
dv = sample(g, x)              dg = conv(x, h)              dx = conv(g, h, back)
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import register_flop_formula

from bibd.kernels import modes, native
from bibd.kernels.ops import _library, connections, eager, given, members_of
from bibd.kernels.table import Table

_library.define(
    "conv(Tensor x, Tensor values, Tensor table, int inputs, int outputs, SymInt height, "
    "SymInt width, int stride, int[] padding, bool back) -> Tensor"
)
_library.define(
    "conv_sample(Tensor grad, Tensor x, Tensor table, int inputs, int outputs, int window, "
    "int stride, int[] padding) -> Tensor"
)


def _conv(x, values, table, inputs, outputs, height, width, stride, padding, back):
    if x.ndim != 4 or values.ndim != 3 or len(table) != 1:
        raise ValueError(f"expected x (images, channels, height, width), got {tuple(x.shape)}")
    found = given(table, inputs, outputs)
    shape = native.shape(len(x), (height, width), found, values.shape[-1], stride, list(padding))
    return native.conv(x, values, None, found, shape, back)


def _sample(grad, x, table, inputs, outputs, window, stride, padding):
    if x.ndim != 4 or grad.ndim != 4 or len(table) != 1:
        raise ValueError(f"expected (images, channels, height, width), got {tuple(x.shape)}")
    found = given(table, inputs, outputs)
    size = tuple(x.shape[2:])
    shape = native.shape(len(x), size, found, window, stride, list(padding))
    return native.conv_sampled(grad, x, found, shape)


_library.impl("conv", _conv, "CPU")
_library.impl("conv_sample", _sample, "CPU")


def result_size(size, window, stride, padding):
    """Height and width of what a convolution returns."""
    return [(n + 2 * p - window) // stride + 1 for n, p in zip(size, padding, strict=True)]


@torch.library.register_fake("iddl::conv", lib=_library)
def _(x, values, table, inputs, outputs, height, width, stride, padding, back):
    if back:
        return x.new_empty(x.shape[0], inputs, height, width)
    size = result_size((height, width), values.shape[-1], stride, padding)
    return x.new_empty(x.shape[0], outputs, *size)


@torch.library.register_fake("iddl::conv_sample", lib=_library)
def _(grad, x, table, inputs, outputs, window, stride, padding):
    return x.new_empty(connections(table, inputs, outputs), window, window)


@register_flop_formula(torch.ops.iddl.conv)
def _(x, values, table, inputs, outputs, height, width, stride, padding, back, **options) -> int:
    high, wide = result_size((height, width), values[-1], stride, padding)
    return 2 * x[0] * high * wide * values[0] * values[1] * values[2]


@register_flop_formula(torch.ops.iddl.conv_sample)
def _(grad, x, table, inputs, outputs, window, stride, padding, **options) -> int:
    n = (table[1] - inputs - outputs - 2) // 3
    return 2 * grad[0] * grad[2] * grad[3] * n * window * window


class Convolve(torch.autograd.Function):
    """Through the registered operator; `size` is that of the input."""

    @staticmethod
    def forward(x, values, table, inputs, outputs, size, stride, padding, back):
        options = inputs, outputs, *size, stride, padding, back
        return torch.ops.iddl.conv(x, values, table, *options)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.options, ctx.back = inputs[3:8], inputs[8]

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, values, table) = grads, ctx.saved_tensors
        of_x = of_values = None
        if ctx.needs_input_grad[0]:
            of_x = Convolve.apply(grad, values, table, *ctx.options, not ctx.back)
        if ctx.needs_input_grad[1]:
            pair = (x, grad) if ctx.back else (grad, x)
            of_values = Sample.apply(*pair, table, values.shape[-1], *ctx.options)
        return of_x, of_values, *[None] * 7

    @staticmethod
    def vmap(info, dims, x, values, table, *options):
        n = info.batch_size
        if dims[1] is None and dims[2] is None:  # one more batch axis
            y = Convolve.apply(x.movedim(dims[0], 0).flatten(0, 1), values, table, *options)
            return y.unflatten(0, (n, -1)), 0
        parts = members_of(info, dims[:3], (x, values, table))
        return torch.stack([Convolve.apply(*p, *options) for p in zip(*parts, strict=True)]), 0


class Sample(torch.autograd.Function):
    """The gradient of the kernels, through the registered operator."""

    @staticmethod
    def forward(grad, x, table, window, inputs, outputs, size, stride, padding):
        return torch.ops.iddl.conv_sample(grad, x, table, inputs, outputs, window, stride, padding)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[4:]

    @staticmethod
    def backward(ctx, *grads):
        (h,), (grad, x, table) = grads, ctx.saved_tensors
        of_grad = Convolve.apply(x, h, table, *ctx.options, False)
        of_x = Convolve.apply(grad, h, table, *ctx.options, True)
        return of_grad, of_x, *[None] * 7

    @staticmethod
    def vmap(info, dims, grad, x, table, *options):
        parts = members_of(info, dims[:3], (grad, x, table))
        return torch.stack([Sample.apply(*p, *options) for p in zip(*parts, strict=True)]), 0


def differentiable(x, values, bias, table: Table, stride: int, padding: list[int]):
    """The convolution by way of the operators: any transform, autocast too."""
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        x, values, bias = (t if t is None else t.to(kind) for t in (x, values, bias))
    options = table.inputs, table.outputs, tuple(x.shape[2:]), stride, padding
    y: Any = Convolve.apply(x, values, table.packed, *options, False)
    return y if bias is None else y + bias[:, None, None]


class Fast(torch.autograd.Function):
    """The same for plain eager mode: the library is called without a detour."""

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
        if torch.is_grad_enabled() or modes.batched(grad) or not eager(grad, x, values):
            path = dense if modes.batched(grad) else differentiable
            more = torch.is_grad_enabled()
            with torch.enable_grad():
                y = path(x, values, None, *ctx.options)
            inputs = [t for t, needed in zip((x, values), wanted, strict=True) if needed]
            found = iter(torch.autograd.grad(y, inputs, grad, create_graph=more))
            of_x, of_values = (next(found) if needed else None for needed in wanted)
            return of_x, of_values, of_bias, None, None, None
        if wanted[0]:
            of_x = native.conv(grad, values, None, table, ctx.shape, True)
        if wanted[1]:
            of_values = native.conv_sampled(grad, x, table, ctx.shape)
        return of_x, of_values, of_bias, None, None, None


def dense(x, values, bias, table: Table, stride: int, padding: list[int]) -> torch.Tensor:
    """By way of a full weight, for gradients that come many at a time."""
    size = table.outputs * table.inputs, *values.shape[1:]
    full = values.new_zeros(size).index_put((table.flat()[0],), values)
    weight = full.view(table.outputs, table.inputs, *values.shape[1:])
    return F.conv2d(x, weight, bias, stride, padding)


def native_conv(x, values, bias, table: Table, stride: int, padding: list[int]) -> torch.Tensor:
    """What F.conv2d would return for the masked kernels; x (images, channels, height, width)."""
    if not eager(x, values, bias):
        return differentiable(x, values, bias, table, stride, padding)
    if torch.is_grad_enabled() and (
        x.requires_grad or values.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return Fast.apply(x, values, bias, table, stride, padding)  # pyright: ignore
    shape = native.shape(len(x), tuple(x.shape[2:]), table, values.shape[-1], stride, padding)
    return native.conv(x, values, bias, table, shape, False)
