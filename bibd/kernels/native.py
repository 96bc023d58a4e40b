"""Calls the native library on ordinary CPU tensors; what does not fit is refused here.

Nothing in this file knows gradients or transforms: bibd.kernels.linear_ops does.
"""

import ctypes
import os
from ctypes import c_int, c_int64, c_void_p
from functools import cache
from math import prod
from typing import Any

import torch

from bibd.kernels.build import library
from bibd.kernels.table import Table

TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
KINDS = (torch.Tensor, torch.nn.Parameter)
LARGEST = 2**31 - 1
_forked = False


def _after_fork() -> None:
    # The threads of OpenMP's pool are not in the child, and waiting for them would never end.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


SIZES = ("images", "in", "height", "width", "out", "oheight", "owidth")
SIZES = *SIZES, "window", "stride", "top", "left"


class Shape(ctypes.Structure):
    """The struct Shape of conv.h, for ctypes."""

    _fields_ = tuple((name, c_int64) for name in SIZES)


@cache
def _calls() -> tuple[Any, ...]:
    found = library()
    if found is None:
        raise ValueError(
            "backend 'native' needs a C++ compiler on the PATH (or in $CXX) that works; "
            "backend='auto' does without"
        )
    tensors, sizes = [c_int, *[c_void_p] * 5], [c_int64] * 3
    found.iddl_linear.argtypes = [*tensors, *sizes]
    found.iddl_sampled.argtypes = [*tensors[:-1], *sizes]
    found.iddl_conv.argtypes = [*tensors, c_void_p, *sizes[:2]]
    found.iddl_conv_sampled.argtypes = [*tensors, c_int64]
    names = "iddl_linear", "iddl_sampled", "iddl_conv", "iddl_conv_sampled"
    return tuple(getattr(found, name) for name in names)


def threads() -> int:
    """Return as many threads as torch uses, or one in a forked child."""
    return 1 if _forked else torch.get_num_threads()


def plain(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """Return whether these are ordinary CPU tensors of one dtype that the library knows."""
    dtype = x.dtype
    for t in (x, values) if bias is None else (x, values, bias):
        if type(t) not in KINDS:
            return False
        if t.dtype is not dtype or not t.is_cpu or t.layout is not torch.strided:
            return False
    return dtype in TYPES


def _read(what: str, t: torch.Tensor, size: int) -> torch.Tensor:
    """Return a plain tensor in one piece, after the last checks before its address goes on."""
    if t.numel() != size:
        raise ValueError(f"expected {what} of {size} values, got shape {tuple(t.shape)}")
    if t.is_neg():
        t = t.resolve_neg()
    if not t.is_contiguous():
        t = t.contiguous()
    if not t.data_ptr() and size:
        raise ValueError(f"{what} has no memory behind it (shape {tuple(t.shape)})")
    return t


def _refuse(*tensors: torch.Tensor | None) -> None:
    known = ", ".join(str(kind).removeprefix("torch.") for kind in TYPES)
    found = [f"{t.dtype} on {t.device} ({t.layout})" for t in tensors if t is not None]
    raise ValueError(
        f"native kernels take ordinary CPU tensors of one dtype ({known}), got {', '.join(found)}"
    )


def _fit(x: torch.Tensor, *sizes: int) -> None:
    """Check the sizes at the end of x."""
    if tuple(x.shape[-len(sizes) :]) != sizes:
        end = ", ".join(map(str, sizes))
        raise ValueError(f"expected an input of shape (..., {end}), got {tuple(x.shape)}")


def _run(call: Any, *arguments: Any) -> None:
    if call(*arguments):
        raise MemoryError("the native kernel found no memory for its scratch space")


def linear(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    table: Table,
    back: bool = False,
    members: int = 1,
) -> torch.Tensor:
    """Map (..., in) to (..., out), or the other way with `back`.

    With several members the first axis is theirs.
    """
    if not plain(x, values, bias):
        _refuse(x, values, bias)
    size = x.shape
    if back:
        wide, high, rows = table.outputs, table.inputs, table.back
    else:
        wide, high, rows = table.inputs, table.outputs, table.out
    side_by_side = members > 1 or values.ndim == 2
    if not size or size[-1] != wide or (side_by_side and (len(size) != 3 or size[0] != members)):
        wanted = f"({members}, batch, {wide})" if side_by_side else f"(..., {wide})"
        raise ValueError(f"expected {x.dtype} input of shape {wanted}, got {tuple(size)}")
    total = x.numel()
    x = _read("input", x, total)
    values = _read("weight", values, members * table.nonzeros)
    y = torch.empty_like(x) if high == wide else x.new_empty((*size[:-1], high))
    at = None
    if bias is not None:
        bias = _read("bias", bias, members * high)
        at = bias.data_ptr()
    if total:
        pointers = x.data_ptr(), values.data_ptr(), at, y.data_ptr(), rows
        _run(_calls()[0], TYPES[x.dtype], *pointers, members, total // (wide * members), threads())
    return y


def quick(
    x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None, table: Table
) -> torch.Tensor | None:
    """Call linear() the short way for plain float32, checked once; None means take the long way.

    (The long way costs some microseconds more, as long as the product of one sample itself.)
    """
    n = x.numel()
    if (
        type(x) is not torch.Tensor
        or type(values) is not torch.nn.Parameter
        or x.dtype is not torch.float32
        or values.dtype is not torch.float32
        or not (x.is_cpu and values.is_cpu)
        or x.layout is not torch.strided
        or not (x.is_contiguous() and values.is_contiguous())
        or x.is_neg()
        or n == 0
        or x.ndim == 0
        or x.shape[-1] != table.inputs
        or values.numel() != table.nonzeros
    ):
        return None
    at = None
    if bias is not None:
        if (
            type(bias) is not torch.nn.Parameter
            or bias.dtype is not torch.float32
            or not (bias.is_cpu and bias.is_contiguous())
            or bias.numel() != table.outputs
        ):
            return None
        at = bias.data_ptr()
    p, q = x.data_ptr(), values.data_ptr()
    if not p or not q:
        return None
    same = table.outputs == table.inputs
    y = torch.empty_like(x) if same else x.new_empty((*x.shape[:-1], table.outputs))
    batch = n // table.inputs
    if _calls()[0](0, p, q, at, y.data_ptr(), table.out, 1, batch, threads()):
        raise MemoryError("the native kernel found no memory for its scratch space")
    return y


def sampled(
    rows: torch.Tensor, columns: torch.Tensor, table: Table, members: int = 1
) -> torch.Tensor:
    """Return the values' gradient (members, n) from (..., out) and (..., in)."""
    if not plain(rows, columns):
        _refuse(rows, columns)
    _fit(rows, table.outputs)
    batch = rows.numel() // (table.outputs * members)
    rows = _read("gradient", rows, members * batch * table.outputs)
    _fit(columns, table.inputs)
    columns = _read("input", columns, members * batch * table.inputs)
    if not batch or not table.nonzeros:
        return rows.new_zeros((members, table.nonzeros))
    to = rows.new_empty((members, table.nonzeros))
    pointers = rows.data_ptr(), columns.data_ptr(), to.data_ptr(), table.out
    _run(_calls()[1], TYPES[rows.dtype], *pointers, members, batch, threads())
    return to


def shape(
    images: int, size: tuple[int, int], table: Table, window: int, stride: int, padding: list[int]
) -> Shape:
    """Return a convolution's sizes; `padding` is (rows above and below, columns on both sides)."""
    high, wide = ((n + 2 * p - window) // stride + 1 for n, p in zip(size, padding, strict=True))
    if window not in (1, 3) or stride not in (1, 2) or min(padding) < 0 or min(high, wide) < 1:
        raise ValueError(
            f"no native kernel for a window of {window}, stride {stride}, padding {padding} on "
            f"{size[0]} x {size[1]} pixels"
        )
    channels = table.inputs, *size, table.outputs, high, wide
    found = Shape(images, *channels, window, stride, *padding)
    if max(size[0] + 2 * padding[0], high) * (size[1] + 2 * padding[1] + 8) * 64 > LARGEST:
        raise ValueError(f"{size[0]} x {size[1]} pixels are too many for the native kernels")
    return found


def conv(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    table: Table,
    s: Shape,
    back: bool,
) -> torch.Tensor:
    """Map (images, in, height, width) to (images, out, ...), or with `back` the gradient."""
    if not plain(x, values, bias):
        _refuse(x, values, bias)
    small = s.images, table.inputs, s.height, s.width
    large = s.images, table.outputs, s.oheight, s.owidth
    come, go = (large, small) if back else (small, large)
    _fit(x, *come)
    x = _read("input", x, prod(come))
    values = _read("weight", values, table.nonzeros * s.window * s.window)
    at = None
    if bias is not None:
        bias = _read("bias", bias, go[1])
        at = bias.data_ptr()
    y = x.new_empty(go)
    if y.numel():
        rows = table.back if back else table.out
        pointers = x.data_ptr(), values.data_ptr(), at, y.data_ptr(), rows, ctypes.addressof(s)
        _run(_calls()[2], TYPES[x.dtype], *pointers, back, threads())
    return y


def conv_sampled(grad: torch.Tensor, x: torch.Tensor, table: Table, s: Shape) -> torch.Tensor:
    """Return the gradient of the kernels (n, window, window)."""
    if not plain(grad, x):
        _refuse(grad, x)
    come, go = (table.inputs, s.height, s.width), (table.outputs, s.oheight, s.owidth)
    _fit(x, s.images, *come)
    _fit(grad, s.images, *go)
    x, grad = _read("input", x, s.images * prod(come)), _read("gradient", grad, s.images * prod(go))
    size = table.nonzeros, s.window, s.window
    if not x.numel() or not table.nonzeros:
        return x.new_zeros(size)
    to = x.new_empty(size)
    pointers = grad.data_ptr(), x.data_ptr(), to.data_ptr(), table.out, ctypes.addressof(s)
    _run(_calls()[3], TYPES[x.dtype], *pointers, threads())
    return to
