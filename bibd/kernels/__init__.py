"""Ways to multiply by a sparse weight: one file each, and here the choice between them.

dense    scatter the values into a full weight, then F.linear or F.conv2d. Everything works.
bag      read only the connections: embedding_bag forward, sampled_addmm backward. Linear, CPU.
native   the library in native.cpp, compiled at first use. CPU.
cuda     kernels for single connections in bibd/kernels/gpu, compiled at first use. Linear, GPU.
triton   kernels for connections that are dense tiles of 16, 32, 64 or 128, of channels too. GPU.
auto     the fastest of those for this device, as measured here (bibd.kernels.tune); on a GPU one
         that has also been held beside float64. Dense elsewhere and where a program is written
         down (export from torch 2.7 on, jit.trace, fx).

Where torch transforms, compiles or casts a call in a way that `bag` or `native` has no rule for,
dense does the work: bag under compile, torch.func, autocast and on meta tensors, native under
forward-mode AD and under autocast to float16, cuda and triton for types but bfloat16 and float32.

A NaN or an infinity in an input reaches, on `bag` and `native`, the outputs that read that input;
on `dense` all outputs of the sample, since 0 * NaN is NaN; on `cuda` and `triton` those that read
it and perhaps others. `auto` may take `dense`.

`backend=` of a layer names one; $IDDL_BACKEND names one for the layers that say "auto".
"""

import os
from collections.abc import Callable, Sequence

import torch

from bibd.advice import warn
from bibd.kernels import build, modes, native, tune
from bibd.kernels.bag import bag_linear, bag_stacked
from bibd.kernels.bag import held as held_by_bags
from bibd.kernels.conv_ops import differentiable as traced_conv
from bibd.kernels.conv_ops import native_conv
from bibd.kernels.dense import dense_linear, dense_weight, unchanged
from bibd.kernels.gpu import card
from bibd.kernels.gpu.route import PATHS, has_no_rule, route
from bibd.kernels.gpu.tiles import side_of
from bibd.kernels.gpu.windows import ungrouped
from bibd.kernels.linear_ops import differentiable as traced_linear
from bibd.kernels.linear_ops import native_linear
from bibd.kernels.measure import Candidates
from bibd.kernels.native import quick
from bibd.kernels.table import Table, stacked, table
from bibd.kernels.table import held as held_by_tables
from bibd.kernels.trials import (
    conv_trials,
    dense_stacked,
    linear_trials,
    one_trial,
    stack_trials,
)
from bibd.pattern import Pattern

__all__ = [
    "BACKENDS",
    "PATHS",
    "Table",
    "bag_linear",
    "bag_stacked",
    "card",
    "choose",
    "conv_trials",
    "dense_linear",
    "dense_stacked",
    "dense_weight",
    "held",
    "linear_trials",
    "native_conv",
    "native_linear",
    "one_trial",
    "paths",
    "quick",
    "side_of",
    "stack_trials",
    "stacked",
    "table",
    "traced_conv",
    "traced_linear",
    "unchanged",
    "ungrouped",
    "wanted",
]

BACKENDS = ("auto", "dense", "bag", "native", *PATHS)
_asked: list[str] = []  # of the environment
TINY = 1 << 15  # possible connections (times members of a stack) below which dense is taken at once
SHARE = 8  # where nothing can be measured: native if so many connections are possible for each


def held(pattern: Pattern) -> int:
    """Return the bytes of the tables that kernels have built of a pattern so far."""
    return held_by_bags(pattern) + held_by_tables(pattern)


def wanted(backend: str, possible: Sequence[str] = BACKENDS) -> str:
    """Return the backend of a layer, or that of $IDDL_BACKEND if the layer leaves it open.

    Raises:
        ValueError: no such backend.
    """
    if backend != "auto":
        return backend
    asked = environment()
    if asked not in BACKENDS:
        raise ValueError(f"IDDL_BACKEND must be one of {', '.join(BACKENDS)}, got {asked!r}")
    return asked if asked in possible else "auto"


@torch.compiler.assume_constant_result
def environment() -> str:
    """Return $IDDL_BACKEND as it was when the first layer asked."""
    if not _asked:
        _asked.append(os.environ.get("IDDL_BACKEND", "auto"))
    return _asked[0]


def paths() -> dict[str, str]:
    """Return the choices since the last call, for a record; from now on they stand."""
    tune.keep()
    asked = environment()
    return tune.used() | ({} if asked == "auto" else {"IDDL_BACKEND": asked})


def choose(
    backend: str,
    tensors: tuple[torch.Tensor, torch.Tensor],
    sizes: tuple[int, int, int, int],
    geometry: tuple[int, ...],
    candidates: Callable[[], Callable[[int, torch.dtype, bool], Candidates]],
    tile: int = 0,
) -> str:
    """Choose the path of one call.

    Args:
        backend: What the layer, or the environment, asks for.
        tensors: Input and values.
        sizes: Inputs, outputs, connections, members.
        geometry: What else a convolution has: window, stride, padding and image size.
        candidates: Makes what makes the paths to be timed, from batch, dtype and whether gradients
            are needed.
        tile: Side of the dense tiles that the connections make up; 0: none.
    """
    x, values = tensors
    if not isinstance(x, torch.Tensor) or (backend == "auto" and modes.tracing()):
        return "dense"  # a stand-in that follows the code, or a program that is written down
    if x.numel() == 0:
        return "dense"  # (the table operators refuse no samples)
    if backend == "native" and values.device.type not in ("cpu", "meta"):
        raise ValueError(
            f"backend 'native' is for the CPU and this layer is on {values.device}: use 'auto'"
        )
    if backend != "auto":
        return "dense" if _has_no_rule(backend, x, values) else backend
    inputs, outputs, nonzeros, members = sizes
    possible = inputs * outputs * members
    if possible * _pixels(geometry) < TINY:
        return "dense"
    if card.on_card(values):
        known = tile or not geometry  # (no kernels for single connections between channels)
        return route(x, values, (*sizes, tile), candidates, geometry) if known else "dense"
    if values.device.type != "cpu":
        return "dense"
    compiling = torch.compiler.is_compiling()
    if compiling or not native.plain(x, values) or modes.watched():
        return "native" if _likely(x, values, nonzeros * members * SHARE <= possible) else "dense"
    train = torch.is_grad_enabled() and (x.requires_grad or values.requires_grad)
    batch = tune.bucket(max(1, x.numel() // (inputs * members * _pixels(geometry))))
    kind = "conv" if geometry else "linear"
    call = tune.Call(
        kind, inputs, outputs, nonzeros, members, geometry, batch, native.threads(), x.dtype, train
    )
    return tune.choice(call, lambda: candidates()(1 << batch, x.dtype, train))


def _has_no_rule(backend: str, x: torch.Tensor, values: torch.Tensor) -> bool:
    """Return whether the wanted path cannot follow what goes on around this call."""
    if backend == "dense":
        return False
    if backend in PATHS:
        return has_no_rule(backend, x, values)
    if backend == "native":
        kind = modes.casting("cpu")
        if modes.forward_mode():
            warn("backend 'native' has no rule for forward-mode AD: 'dense' computes this call")
            return True
        return kind not in native.TYPES and kind is not None
    ordinary = type(x) in native.KINDS and type(values) in native.KINDS
    return not (modes.quiet() and ordinary) or x.is_meta or values.is_meta


def _pixels(geometry: tuple[int, ...]) -> int:
    return geometry[-1] * geometry[-2] if geometry else 1


def _likely(x: torch.Tensor, values: torch.Tensor, sparse: bool) -> bool:
    """Return whether native is the better guess where it works but nothing can be measured."""
    ordinary = x.device.type == "cpu" and x.layout is torch.strided
    if not sparse or not ordinary or modes.forward_mode():
        return False
    if not torch.compiler.is_compiling() and type(x) not in native.KINDS:
        return False  # a subclass: its own operators
    dtypes = x.dtype, values.dtype
    if torch.is_autocast_enabled("cpu") and torch.float64 not in dtypes:
        return torch.get_autocast_dtype("cpu") in native.TYPES and available()
    return dtypes[0] == dtypes[1] and dtypes[0] in native.TYPES and available()


@torch.compiler.assume_constant_result
def available() -> bool:
    """Return whether there is a native library (it is built now if need be)."""
    return build.library() is not None
