"""Multiplies by touching only the connections, with operators that torch already ships.

With X the inputs as columns (in, batch), one output row is a weighted bag of input rows:

    Y[r] = sum over c in row r of  value[r, c] * X[c]           embedding_bag over the table
    dX[c] = sum over r in column c of  value[r, c] * dY[r]      embedding_bag over its transpose
    dvalue[r, c] = dY[r] . X[c]                                 sampled_addmm on the table

Layers side by side (a stack) are one table with their tables along its diagonal.
"""

import warnings
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F

from bibd.kernels import modes
from bibd.kernels.dense import dense_weight
from bibd.pattern import Pattern


class Table(NamedTuple):
    """The pattern by rows and by columns; `order` takes values from the first to the second."""

    shape: tuple[int, int]
    flat: torch.Tensor
    indptr: torch.Tensor
    indices: torch.Tensor
    t_indptr: torch.Tensor
    t_indices: torch.Tensor
    order: torch.Tensor


_tables: WeakKeyDictionary[Pattern, Table] = WeakKeyDictionary()


def table(pattern: Pattern) -> Table:
    """Return a pattern's index tensors, built once and shared by every layer that holds it."""
    if pattern not in _tables:
        with torch.inference_mode(False):
            _tables[pattern] = _build(pattern)
    return _tables[pattern]


def held(pattern: Pattern) -> int:
    """Return the bytes of the index tensors of a pattern; 0 where none were asked for."""
    found = _tables.get(pattern)
    return 0 if found is None else sum(t.nbytes for t in found if isinstance(t, torch.Tensor))


def _build(p: Pattern) -> Table:
    cols, rows = torch.from_numpy(p.indices.copy()), torch.from_numpy(p.rows)
    order = torch.argsort(cols, stable=True)
    counts = torch.bincount(cols, minlength=p.in_features)
    t_indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    shape = p.out_features, p.in_features
    by_rows = torch.from_numpy(p.flat), torch.from_numpy(p.indptr.copy()), cols
    t = Table(shape, *by_rows, t_indptr, rows[order], order)
    with warnings.catch_warnings():  # torch says once in a process that CSR tensors are beta
        warnings.simplefilter("ignore")
        _frame(t, torch.zeros(len(cols), device="cpu"))
    return t


def _frame(t: Table, values: torch.Tensor) -> torch.Tensor:
    # Not checked again at each call: the table comes from a Pattern, which is sorted and in range.
    parts = t.indptr, t.indices, values, t.shape
    return torch.sparse_csr_tensor(*parts, device="cpu", check_invariants=False)


def _bags(indices, columns, indptr, values):
    return F.embedding_bag(
        indices, columns, indptr, mode="sum", per_sample_weights=values, include_last_offset=True
    )


class _Bag(torch.autograd.Function):
    """Maps (in, batch) to (out, batch), with a backward pass that touches only connections."""

    @staticmethod
    def forward(ctx, x, values, t):
        ctx.save_for_backward(x, values)
        ctx.table = t
        return _bags(t.indices, x, t.indptr, values)

    @staticmethod
    def backward(ctx, *grads):
        grad, (x, values), t = grads[0], ctx.saved_tensors, ctx.table
        # A second derivative, or many gradients at a time: answer in terms that can be transformed.
        if torch.is_grad_enabled() or modes.batched(grad) or modes.in_transform():
            weight = dense_weight(values, t.flat, t.shape)
            return weight.t() @ grad, (grad @ x.t()).reshape(-1)[t.flat], None
        grad = grad.contiguous()
        grad_x = grad_values = None
        if ctx.needs_input_grad[0]:
            grad_x = _bags(t.t_indices, grad, t.t_indptr, values[t.order])
        if ctx.needs_input_grad[1]:
            frame = _frame(t, torch.zeros_like(values))  # (0 times an infinite value is not 0)
            grad_values = torch.sparse.sampled_addmm(frame, grad, x.t(), beta=0.0).values()
        return grad_x, grad_values, None


def bag_linear(x: torch.Tensor, values: torch.Tensor, bias, pattern: Pattern) -> torch.Tensor:
    """Return what F.linear would for the masked weight; x is (..., in) on the CPU."""
    _check(x, values, (*x.shape[:-1], pattern.in_features))
    columns = x.reshape(-1, pattern.in_features).t().contiguous()
    y = _product(columns, values, pattern).t()
    y = y.contiguous() if bias is None else y + bias
    return y.reshape(*x.shape[:-1], pattern.out_features)


def bag_stacked(x: torch.Tensor, values: torch.Tensor, bias, pattern: Pattern) -> torch.Tensor:
    """Multiply for a stack of layers: x is (members, batch, in).

    Values are (members, nonzeros), the bias (members, out, 1).
    """
    members = len(values)
    batch, width = x.shape[1] if x.ndim == 3 else 1, pattern.in_features // members
    _check(x, values, (members, batch, width))
    y = _product(x.mT.reshape(members * width, batch), values.flatten(), pattern)
    y = y.view(members, -1, batch)
    return (y if bias is None else y + bias).mT


def _check(x: torch.Tensor, values: torch.Tensor, shape: tuple[int, ...]) -> None:
    """Refuse tensors that do not fit, as the operators read whatever they are given."""
    wrong = tuple(x.shape) != shape or x.dtype != values.dtype or x.device.type != "cpu"
    if wrong or values.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"expected {values.dtype} input of shape {shape}, got {x.dtype} of shape "
            f"{tuple(x.shape)} on {x.device} (backend 'bag' is for float32 and float64 on the CPU)"
        )


def _product(columns: torch.Tensor, values: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    return _Bag.apply(columns, values, table(pattern))  # pyright: ignore
