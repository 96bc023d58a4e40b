"""Calls of the native library on ordinary CPU tensors; what does not fit is refused here.

Nothing in this file knows gradients or transforms: bibd.kernels.ops does.
"""

import ctypes
import os
from ctypes import c_int, c_int64, c_void_p
from functools import cache
from typing import Any

import torch

from bibd.kernels.build import library
from bibd.kernels.table import Table

TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
LARGEST = 2**31 - 1
_forked = False


def _after_fork() -> None:
    # The threads of OpenMP's pool are not in the child, and waiting for them would never end.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Shape(ctypes.Structure):
    """Shape of conv.h."""

    names = [
        "images",
        "in",
        "height",
        "width",
        "out",
        "oheight",
        "owidth",
        "window",
        "stride",
        "top",
        "left",
    ]
    _fields_ = [(name, c_int64) for name in names]


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
    found.iddl_sound.argtypes = [c_void_p]
    names = "iddl_linear", "iddl_sampled", "iddl_conv", "iddl_conv_sampled", "iddl_sound"
    return tuple(getattr(found, name) for name in names)


def threads() -> int:
    """As many as torch uses; one in a forked child."""
    return 1 if _forked else torch.get_num_threads()


def plain(*tensors: torch.Tensor | None) -> bool:
    """Whether all are ordinary tensors of one dtype that the library can read where they lie."""
    dtype = None
    for t in tensors:
        if t is None:
            continue
        if type(t) is not torch.Tensor and type(t) is not torch.nn.Parameter:
            return False
        if not t.is_cpu or t.layout is not torch.strided or t.dtype not in TYPES:
            return False
        if dtype is not None and t.dtype is not dtype:
            return False
        dtype = t.dtype
    return True


def _read(
    what: str,
    t: torch.Tensor,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    size: int | None = None,
    last: int | None = None,
) -> torch.Tensor:
    """The tensor in one piece, after the last checks before its address is handed on."""
    if (
        t.shape != shape
        or (size is not None and t.numel() != size)
        or (last is not None and shape[-1:] != (last,))
        or t.dtype is not dtype
        or not plain(t)
    ):
        wanted = shape if last is None else (*shape[:-1], last)
        raise ValueError(
            f"expected {what} {dtype} of shape {tuple(wanted)} on the CPU, got {t.dtype} of shape "
            f"{tuple(t.shape)} on {t.device} ({t.layout}); native kernels take "
            f"{', '.join(str(k).removeprefix('torch.') for k in TYPES)}"
        )
    if t.is_neg():
        t = t.resolve_neg()
    t = t.contiguous()
    if t.numel() and not t.data_ptr():
        raise ValueError(f"{what} has no memory behind it (shape {tuple(shape)})")
    return t


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
    """(..., in) to (..., out), the first axis being members if there are several; or `back`."""
    wide, high = (table.outputs, table.inputs) if back else (table.inputs, table.outputs)
    dtype, size = x.dtype, x.shape
    batch = x.numel() // (wide * members)
    x = _read("input", x, dtype, size, members * batch * wide, wide)
    values = _read("weight", values, dtype, values.shape, members * table.nonzeros)
    y = torch.empty((*size[:-1], high), dtype=dtype, device="cpu")
    at = None
    if bias is not None:
        bias = _read("bias", bias, dtype, bias.shape, members * high)
        at = bias.data_ptr()
    if batch:
        rows = table.back if back else table.out
        pointers = x.data_ptr(), values.data_ptr(), at, y.data_ptr(), rows
        _run(_calls()[0], TYPES[dtype], *pointers, members, batch, threads())
    return y


def sampled(
    rows: torch.Tensor, columns: torch.Tensor, table: Table, members: int = 1
) -> torch.Tensor:
    """Gradient of the values: (..., out) and (..., in) to (members, n)."""
    dtype, high, wide = rows.dtype, table.outputs, table.inputs
    batch = rows.numel() // (high * members)
    rows = _read("gradient", rows, dtype, rows.shape, members * batch * high, high)
    columns = _read("input", columns, dtype, columns.shape, members * batch * wide, wide)
    if not batch or not table.nonzeros:
        return torch.zeros((members, table.nonzeros), dtype=dtype, device="cpu")
    to = torch.empty((members, table.nonzeros), dtype=dtype, device="cpu")
    pointers = rows.data_ptr(), columns.data_ptr(), to.data_ptr(), table.out
    _run(_calls()[1], TYPES[dtype], *pointers, members, batch, threads())
    return to


def shape(
    images: int, size: tuple[int, int], table: Table, window: int, stride: int, padding: list[int]
) -> Shape:
    """The sizes of a convolution; `padding` is (rows above and below, columns on both sides)."""
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
    """(images, in, height, width) to (images, out, ...); or `back`, the gradient of its input."""
    small = s.images, getattr(s, "in"), s.height, s.width
    large = s.images, s.out, s.oheight, s.owidth
    come, go = (large, small) if back else (small, large)
    dtype = x.dtype
    x = _read("input", x, dtype, come)
    values = _read("weight", values, dtype, (table.nonzeros, s.window, s.window))
    at = None
    if bias is not None:
        bias = _read("bias", bias, dtype, go[1:2])
        at = bias.data_ptr()
    y = torch.empty(go, dtype=dtype, device="cpu")
    if y.numel():
        rows = table.back if back else table.out
        pointers = x.data_ptr(), values.data_ptr(), at, y.data_ptr(), rows, ctypes.addressof(s)
        _run(_calls()[2], TYPES[dtype], *pointers, back, threads())
    return y


def conv_sampled(grad: torch.Tensor, x: torch.Tensor, table: Table, s: Shape) -> torch.Tensor:
    """Gradient of the kernels (n, window, window)."""
    dtype = x.dtype
    x = _read("input", x, dtype, (s.images, getattr(s, "in"), s.height, s.width))
    grad = _read("gradient", grad, dtype, (s.images, s.out, s.oheight, s.owidth))
    size = table.nonzeros, s.window, s.window
    if not x.numel() or not table.nonzeros:
        return torch.zeros(size, dtype=dtype, device="cpu")
    to = torch.empty(size, dtype=dtype, device="cpu")
    pointers = grad.data_ptr(), x.data_ptr(), to.data_ptr(), table.out, ctypes.addressof(s)
    _run(_calls()[3], TYPES[dtype], *pointers, threads())
    return to


def check(table: Table) -> None:
    """Refuse a table that names places that are not there (one that did not come from a Pattern).

    Raises:
        ValueError: it does.
    """
    sound = _calls()[4]
    if table.nonzeros < 0 or not (sound(table.out) and sound(table.back)):
        raise ValueError("this is no table of connections of that size")
