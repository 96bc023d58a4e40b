"""The native kernels as torch operators, with gradients of gradients, vmap, compile and FLOPs.

Two products are closed under differentiation (W(v) has the values v at its connections):

    y = x W(v)^T          multiply(x, v)              dx = multiply(g, v, back)   dv = sample(g, x)
    dv = sample(g, x)     (g^T x at the connections)  dg = multiply(x, h)   dx = multiply(g, h, back)

In plain eager mode `Fast` calls the library at once (a few microseconds); under torch.compile,
torch.func, autocast and dispatch modes `Multiply` and `Sample` go through registered operators.
Forward-mode AD has no rule and says so.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from bibd.kernels import modes, native
from bibd.kernels.table import Table

KEPT = 256  # tables that were given as tensors
_library = torch.library.Library("iddl", "DEF")
_given: OrderedDict[tuple, Table] = OrderedDict()


def given(packed: torch.Tensor, inputs: int, outputs: int) -> Table:
    """The table in a tensor, checked once."""
    version = 0 if packed.is_inference() else packed._version
    key = packed.data_ptr(), version, packed.shape, inputs, outputs
    found = _given.get(key)
    if found is None:
        if packed.dtype is not torch.int32 or packed.ndim != 2 or packed.device.type != "cpu":
            raise ValueError(f"a table is int32 (members, size), got {packed.dtype}")
        if packed.shape[1] < inputs + outputs + 2 or (packed.shape[1] - inputs - outputs - 2) % 3:
            raise ValueError(f"no table for {inputs} inputs and {outputs} outputs has this size")
        found = Table(packed, inputs, outputs)
        native.check(found)
        _given[key] = found
        while len(_given) > KEPT:
            _given.popitem(last=False)
    return found


def connections(table: torch.Tensor, inputs: int, outputs: int):
    """How many a packed table has."""
    return (table.shape[1] - inputs - outputs - 2) // 3


_library.define(
    "multiply(Tensor x, Tensor values, Tensor table, int inputs, int outputs, bool back) -> Tensor"
)
_library.define(
    "sample(Tensor rows, Tensor columns, Tensor table, int inputs, int outputs) -> Tensor"
)


def _multiply(x, values, table, inputs, outputs, back):
    if x.ndim != 3 or values.ndim != 2 or len(x) != len(values) or len(x) % len(table):
        raise ValueError(
            "expected x (members, batch, in), values (members, n) and as many tables or one, got "
            f"{tuple(x.shape)}, {tuple(values.shape)} and {len(table)}"
        )
    return native.linear(x, values, None, given(table, inputs, outputs), back, len(values))


def _sample(rows, columns, table, inputs, outputs):
    if rows.ndim != 3 or rows.shape[:2] != columns.shape[:2] or len(rows) % len(table):
        raise ValueError(f"members or batches differ: {rows.shape} and {columns.shape}")
    return native.sampled(rows, columns, given(table, inputs, outputs), len(rows))


_library.impl("multiply", _multiply, "CPU")
_library.impl("sample", _sample, "CPU")


@torch.library.register_fake("iddl::multiply", lib=_library)
def _(x, values, table, inputs, outputs, back):
    return x.new_empty(x.shape[0], x.shape[1], inputs if back else outputs)


@torch.library.register_fake("iddl::sample", lib=_library)
def _(rows, columns, table, inputs, outputs):
    return rows.new_empty(rows.shape[0], connections(table, inputs, outputs))


@register_flop_formula(torch.ops.iddl.multiply)
def _(x, values, *rest, **options) -> int:
    return 2 * x[0] * x[1] * values[1]


@register_flop_formula(torch.ops.iddl.sample)
def _(rows, columns, table, inputs, outputs, **options) -> int:
    return 2 * rows[0] * rows[1] * ((table[1] - inputs - outputs - 2) // 3)


def members_of(info, dims, tensors) -> list[torch.Tensor]:
    """Tensors (n, members, ...), from those that vmap maps and those that it does not."""
    moved = []
    for t, dim in zip(tensors, dims, strict=True):
        moved.append(t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0))
    return moved


class Multiply(torch.autograd.Function):
    """(members, batch, in) to (members, batch, out) through the registered operator."""

    @staticmethod
    def forward(x, values, table, inputs, outputs, back):
        return torch.ops.iddl.multiply(x, values, table, inputs, outputs, back)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.sizes, ctx.back = inputs[3:5], inputs[5]

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, values, table) = grads, ctx.saved_tensors
        of_x = of_values = None
        if ctx.needs_input_grad[0]:
            of_x = Multiply.apply(grad, values, table, *ctx.sizes, not ctx.back)
        if ctx.needs_input_grad[1]:
            pair = (x, grad) if ctx.back else (grad, x)
            of_values = Sample.apply(*pair, table, *ctx.sizes)
        return of_x, of_values, None, None, None, None

    @staticmethod
    def vmap(info, dims, x, values, table, inputs, outputs, back):
        x, values, table = members_of(info, dims[:3], (x, values, table))
        n, members, batch, width = x.shape
        if dims[1] is None and dims[2] is None:  # one more batch axis
            x = x.transpose(0, 1).reshape(members, n * batch, width)
            y = Multiply.apply(x, values[0], table[0], inputs, outputs, back)
            return y.unflatten(1, (n, batch)), 1
        table = table.flatten(0, 1) if dims[2] is not None else table[0]
        if dims[2] is not None and len(table) != n * members:
            table = table.unflatten(0, (n, -1)).repeat_interleave(members, 1).flatten(0, 1)
        y = Multiply.apply(x.flatten(0, 1), values.flatten(0, 1), table, inputs, outputs, back)
        return y.unflatten(0, (n, members)), 0


class Sample(torch.autograd.Function):
    """The gradient of the values, through the registered operator."""

    @staticmethod
    def forward(rows, columns, table, inputs, outputs):
        return torch.ops.iddl.sample(rows, columns, table, inputs, outputs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.sizes = inputs[3:5]

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (rows, columns, table) = grads, ctx.saved_tensors
        of_rows = Multiply.apply(columns, grad, table, *ctx.sizes, False)
        of_columns = Multiply.apply(rows, grad, table, *ctx.sizes, True)
        return of_rows, of_columns, None, None, None

    @staticmethod
    def vmap(info, dims, rows, columns, table, inputs, outputs):
        rows, columns, table = members_of(info, dims[:3], (rows, columns, table))
        n, members = rows.shape[:2]
        table = table.flatten(0, 1) if dims[2] is not None else table[0]
        if dims[2] is not None and len(table) != n * members:
            table = table.unflatten(0, (n, -1)).repeat_interleave(members, 1).flatten(0, 1)
        found = Sample.apply(rows.flatten(0, 1), columns.flatten(0, 1), table, inputs, outputs)
        return found.unflatten(0, (n, members)), 0


def differentiable(x, values, bias, table: Table, members: int) -> torch.Tensor:
    """The product by way of the operators: any transform, autocast too."""
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        x, values, bias = (t if t is None else t.to(kind) for t in (x, values, bias))
    sizes = table.inputs, table.outputs
    flat = x.reshape(members, -1, x.shape[-1])
    y: Any = Multiply.apply(flat, values.reshape(members, -1), table.packed, *sizes, False)
    if bias is not None:
        y = y + bias.reshape(members, 1, -1)
    return y.reshape(*x.shape[:-1], table.outputs)


class Fast(torch.autograd.Function):
    """The same for plain eager mode: the library is called without a detour."""

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
        if torch.is_grad_enabled() or modes.batched(grad) or not eager(grad, x, values):
            again = dense if modes.batched(grad) else differentiable
            return *_again(again, wanted, grad, x, values, table, members), of_bias, None, None
        if ctx.needs_input_grad[0]:
            of_x = native.linear(grad, values, None, table, True, members)
        if ctx.needs_input_grad[1]:
            of_values = native.sampled(grad, x, table, members).view(values.shape)
        return of_x, of_values, of_bias, None, None


def _again(path, wanted, grad, x, values, *rest):
    """Gradients that can themselves be differentiated, or that come many at a time."""
    more = torch.is_grad_enabled()
    with torch.enable_grad():
        y = path(x, values, None, *rest)
    inputs = [t for t, needed in zip((x, values), wanted, strict=True) if needed]
    found = iter(torch.autograd.grad(y, inputs, grad, create_graph=more))
    return [next(found) if needed else None for needed in wanted]


def dense(x, values, bias, table: Table, members: int) -> torch.Tensor:
    """The product by way of a full weight, for gradients that come many at a time."""
    size = members, table.outputs * table.inputs
    places = table.flat().expand(members, -1)
    weight = values.new_zeros(size).scatter(1, places, values.reshape(members, -1))
    weight = weight.view(members, table.outputs, table.inputs)
    y = x.reshape(members, -1, table.inputs) @ weight.mT
    return y.reshape(*x.shape[:-1], table.outputs)


def eager(*tensors: torch.Tensor | None) -> bool:
    """Whether the library may be called at once: plain tensors, nobody watches or transforms."""
    return not torch.compiler.is_compiling() and native.plain(*tensors) and not modes.watched()


def native_linear(x, values, bias, table: Table, members: int = 1) -> torch.Tensor:
    """What F.linear would return for the masked weight; with members, for each slice of x."""
    if not eager(x, values, bias):
        return differentiable(x, values, bias, table, members)
    if torch.is_grad_enabled() and (
        x.requires_grad or values.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return Fast.apply(x, values, bias, table, members)  # pyright: ignore
    return native.linear(x, values, bias, table, False, members)
