"""Makes the native kernels torch operators, with second gradients, vmap, compile and FLOPs.

Two products are closed under differentiation (W(v) has the values v at its connections):

    y = multiply(x, v) = x W(v)^T               dx = multiply(g, v, back)    dv = sample(g, x)
    dv = sample(g, x) = g^T x at connections    dg = multiply(x, h)    dx = multiply(g, h, back)

In plain eager mode `Fast` calls the library at once (a few microseconds); under torch.compile,
torch.func, autocast and dispatch modes, and on a card, `Multiply` and `Sample` go through
registered operators. Forward-mode AD has no rule and says so.

`tile` is for a card alone: 0 takes connections one by one, another number tiles of that side.
"""

from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from bibd.kernels import modes, native
from bibd.kernels.gpu import card, products
from bibd.kernels.library import LIBRARY, eager, given, members_of, together
from bibd.kernels.table import Table

LIBRARY.define(
    "multiply(Tensor x, Tensor values, Tensor flat, int inputs, int outputs, bool back, "
    "int tile=0) -> Tensor"
)
LIBRARY.define(
    "sample(Tensor rows, Tensor columns, Tensor flat, int inputs, int outputs, int tile=0) "
    "-> Tensor"
)


def _multiply(x, values, flat, inputs, outputs, back, tile=0):
    if x.ndim != 3 or values.ndim != 2 or len(x) != len(values) or len(x) % len(flat):
        raise ValueError(
            "expected x (members, batch, in), values (members, n) and as many rows of connections "
            f"or one, got {tuple(x.shape)}, {tuple(values.shape)} and {len(flat)}"
        )
    if card.on_card(x):
        together(x, values, flat)
        return products.multiply(x, values, flat, (inputs, outputs), back, tile)
    return native.linear(x, values, None, given(flat, inputs, outputs), back, len(values))


def _sample(rows, columns, flat, inputs, outputs, tile=0):
    if rows.ndim != 3 or rows.shape[:2] != columns.shape[:2] or len(rows) % len(flat):
        raise ValueError(f"members or batches differ: {rows.shape} and {columns.shape}")
    if card.on_card(rows):
        together(rows, columns, flat)
        return products.sample(rows, columns, flat, (inputs, outputs), tile)
    return native.sampled(rows, columns, given(flat, inputs, outputs), len(rows))


for _device in ("CPU", "CUDA"):
    LIBRARY.impl("multiply", _multiply, _device)
    LIBRARY.impl("sample", _sample, _device)


@torch.library.register_fake("iddl::multiply", lib=LIBRARY)
def _(x, values, flat, inputs, outputs, back, tile=0):
    return x.new_empty(x.shape[0], x.shape[1], inputs if back else outputs)


@torch.library.register_fake("iddl::sample", lib=LIBRARY)
def _(rows, columns, flat, inputs, outputs, tile=0):
    return rows.new_empty(rows.shape[0], flat.shape[-1])


@register_flop_formula(torch.ops.iddl.multiply)
def _(x, values, *rest, **options) -> int:
    return 2 * x[0] * x[1] * values[1]


@register_flop_formula(torch.ops.iddl.sample)
def _(rows, columns, flat, *rest, **options) -> int:
    return 2 * rows[0] * rows[1] * flat[-1]


class Multiply(torch.autograd.Function):
    """Maps (members, batch, in) to (members, batch, out) by the registered operator."""

    @staticmethod
    def forward(x, values, flat, inputs, outputs, back, tile):
        return torch.ops.iddl.multiply(x, values, flat, inputs, outputs, back, tile)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.sizes, ctx.back, ctx.tile = inputs[3:5], inputs[5], inputs[6]

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, values, flat) = grads, ctx.saved_tensors
        of_x = of_values = None
        if ctx.needs_input_grad[0]:
            of_x = Multiply.apply(grad, values, flat, *ctx.sizes, not ctx.back, ctx.tile)
        if ctx.needs_input_grad[1]:
            pair = (x, grad) if ctx.back else (grad, x)
            of_values = Sample.apply(*pair, flat, *ctx.sizes, ctx.tile)
        return of_x, of_values, None, None, None, None, None

    @staticmethod
    def vmap(info, dims, x, values, flat, *rest):
        x, values, flat = members_of(info, dims[:3], (x, values, flat))
        n, members, batch, width = x.shape
        if dims[1] is None and dims[2] is None:  # one more batch axis
            x = x.transpose(0, 1).reshape(members, n * batch, width)
            y = Multiply.apply(x, values[0], flat[0], *rest)
            return y.unflatten(1, (n, batch)), 1
        flat = flat.flatten(0, 1) if dims[2] is not None else flat[0]
        if dims[2] is not None and len(flat) != n * members:
            flat = flat.unflatten(0, (n, -1)).repeat_interleave(members, 1).flatten(0, 1)
        y = Multiply.apply(x.flatten(0, 1), values.flatten(0, 1), flat, *rest)
        return y.unflatten(0, (n, members)), 0


class Sample(torch.autograd.Function):
    """The gradient of the values, by the registered operator."""

    @staticmethod
    def forward(rows, columns, flat, inputs, outputs, tile):
        return torch.ops.iddl.sample(rows, columns, flat, inputs, outputs, tile)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.sizes, ctx.tile = inputs[3:5], inputs[5]

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (rows, columns, flat) = grads, ctx.saved_tensors
        of_rows = Multiply.apply(columns, grad, flat, *ctx.sizes, False, ctx.tile)
        of_columns = Multiply.apply(rows, grad, flat, *ctx.sizes, True, ctx.tile)
        return of_rows, of_columns, None, None, None, None

    @staticmethod
    def vmap(info, dims, rows, columns, flat, *rest):
        rows, columns, flat = members_of(info, dims[:3], (rows, columns, flat))
        n, members = rows.shape[:2]
        flat = flat.flatten(0, 1) if dims[2] is not None else flat[0]
        if dims[2] is not None and len(flat) != n * members:
            flat = flat.unflatten(0, (n, -1)).repeat_interleave(members, 1).flatten(0, 1)
        found = Sample.apply(rows.flatten(0, 1), columns.flatten(0, 1), flat, *rest)
        return found.unflatten(0, (n, members)), 0


def differentiable(x: Any, values: Any, bias: Any, flat, inputs: int, outputs: int, tile: int = 0):
    """Multiply by the operators, under any transform and autocast; flat is (tables, n)."""
    x, values, bias = modes.cast(x, values, bias)
    members = values.shape[0] if values.ndim == 2 else 1
    if x.shape[-1] != inputs or (values.ndim == 2 and (x.ndim != 3 or x.shape[0] != members)):
        start = f"{members}, batch" if values.ndim == 2 else "..."
        raise ValueError(
            f"expected {x.dtype} input of shape ({start}, {inputs}), got {tuple(x.shape)}"
        )
    rows = x.reshape(members, -1, x.shape[-1])
    y: Any = Multiply.apply(rows, values.reshape(members, -1), flat, inputs, outputs, False, tile)
    if bias is not None:
        y = y + bias.reshape(members, 1, -1)
    return y.reshape(*x.shape[:-1], outputs)


class Fast(torch.autograd.Function):
    """The product in plain eager mode, which calls the library without a detour."""

    @staticmethod
    def forward(ctx, x, values, bias, table, members):
        ctx.save_for_backward(x, values)
        ctx.table, ctx.members = table, members
        ctx.bias = None if bias is None else bias.shape
        return native.linear(x, values, bias, table, False, members)

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, values), table, members = grads, ctx.saved_tensors, ctx.table, ctx.members
        of_x = of_values = of_bias = None
        if ctx.needs_input_grad[2]:
            of_bias = grad.reshape(members, -1, table.outputs).sum(1).reshape(ctx.bias)
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled() or modes.batched(grad) or not eager(grad, x):
            again = _many if modes.batched(grad) else _again
            return *again(wanted, grad, x, values, table), of_bias, None, None
        if ctx.needs_input_grad[0]:
            of_x = native.linear(grad, values, None, table, True, members)
        if ctx.needs_input_grad[1]:
            of_values = native.sampled(grad, x, table, members).view(values.shape)
        return of_x, of_values, of_bias, None, None


def _again(wanted, grad, x, values, table: Table):
    """Return gradients that can be differentiated in turn, or that something watches."""
    members, sizes = len(values) if values.ndim == 2 else 1, (table.inputs, table.outputs)
    g, v = grad.reshape(members, -1, table.outputs), values.reshape(members, -1)
    of_x: Any = Multiply.apply(g, v, table.flat, *sizes, True, 0) if wanted[0] else None
    rows = x.reshape(members, -1, table.inputs)
    of_values: Any = Sample.apply(g, rows, table.flat, *sizes, 0) if wanted[1] else None
    return (
        of_x.reshape(x.shape) if wanted[0] else None,
        of_values.reshape(values.shape) if wanted[1] else None,
    )


def _many(wanted, grad, x, values, table: Table):
    """Return gradients that come many at a time, by a full weight in terms torch can map."""
    members, (high, wide) = len(values) if values.ndim == 2 else 1, (table.outputs, table.inputs)
    g, v = grad.reshape(members, -1, high), values.reshape(members, -1)
    flat = table.flat.expand(members, -1)
    of_x = of_values = None
    if wanted[0]:
        weight = v.new_zeros(members, high * wide).scatter(1, flat, v).view(members, high, wide)
        of_x = (g @ weight).reshape(x.shape)
    if wanted[1]:
        product = (g.mT @ x.reshape(members, -1, wide)).reshape(members, -1)
        of_values = torch.stack([product[m][flat[m]] for m in range(members)])
        of_values = of_values.reshape(values.shape)
    return of_x, of_values


def native_linear(x, values, bias, table: Table, members: int = 1) -> torch.Tensor:
    """Return what F.linear would for the masked weight; with members, for each slice of x."""
    if torch.is_grad_enabled() and (
        x.requires_grad or values.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return Fast.apply(x, values, bias, table, members)  # pyright: ignore
    return native.linear(x, values, bias, table, False, members)
