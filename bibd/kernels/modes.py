"""Tells what goes on around a call: whether torch transforms, traces or watches it.

Some names are private, and the only way to ask; where one is missing, everything counts as watched,
and the path is taken that always works.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_replayed: list[bool] = []  # one for each context that is open
_lock = Lock()
_functorch = getattr(torch._C, "_functorch", None)
_level: Callable[[], Any] = getattr(_functorch, "maybe_current_level", lambda: 0)
_trace: Callable[[], Any] = getattr(torch._C, "_get_tracing_state", lambda: 0)


def in_transform() -> bool:
    """Return True inside torch.func transforms and forward-mode AD."""
    return _level() is not None or forward_mode()


def forward_mode() -> bool:
    """Return True inside forward-mode AD, for which the native kernels have no rule."""
    return getattr(forward_ad, "_current_level", 0) >= 0


def cast(*tensors: torch.Tensor | None) -> list[Any]:
    """Return tensors as autocast, where it is on, would have them for a product.

    It leaves float64 alone.
    """
    kind = casting("cpu" if tensors[0] is None else tensors[0].device.type)
    if kind is None:
        return list(tensors)
    return [t if t is None or t.dtype is torch.float64 else t.to(kind) for t in tensors]


def casting(device: str) -> torch.dtype | None:
    """Return the type that autocast gives products on a kind of device; None: it is off."""
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def tf32() -> bool:
    """Return whether torch multiplies float32 on a card in TF32."""
    try:
        return bool(torch.backends.cuda.matmul.allow_tf32)
    except RuntimeError:  # (the settings of torch 2.9 were used, which do not mix with this one)
        return torch.backends.cuda.matmul.fp32_precision == "tf32"


def tf32_of_images() -> bool:
    """Return whether torch convolves float32 on a card in TF32: it does if nobody forbids it."""
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return torch.backends.cudnn.conv.fp32_precision == "tf32"  # pyright: ignore


@contextmanager
def replayed() -> Iterator[None]:
    """Let sparse layers on a card choose for calls that a CUDA graph will replay.

    Kernels whose products are fast, and which lose when they wait for their launches, gain there.
    Put the calls before a capture, and the capture itself, inside:

        with bibd.replayed():
            for _ in range(3):
                step()
            with torch.cuda.graph(graph):
                step()

    It is for all threads, as those of autograd call layers again under checkpointing. Elsewhere
    than on a card it changes nothing. (The trainers of mlp and resnet do it.)
    """
    with _lock:
        _replayed.append(True)
    try:
        yield
    finally:
        with _lock:
            _replayed.pop()


def is_replayed() -> bool:
    """Return whether calls stand for replays of a CUDA graph now."""
    return bool(_replayed)


def autocast() -> bool:
    """Return whether tensors are cast for a product, so that dtypes may differ."""
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def batched(x: torch.Tensor) -> bool:
    """Return True for the many gradients at a time of autograd.grad(is_grads_batched=True)."""
    return "Batched" in str(torch._C._dispatch_keys(x))


def jit() -> bool:
    """Return True inside torch.jit.trace."""
    return _trace() is not None


def tracing() -> bool:
    """Return True where a program is written down: jit.trace and export.

    (fx brings stand-ins for tensors.)
    """
    exporting = getattr(torch.compiler, "is_exporting", lambda: False)
    return jit() or exporting()


def quiet() -> bool:
    """Return whether this is plain eager mode."""
    return not torch.compiler.is_compiling() and not watched()


def watched() -> bool:
    """Return whether anybody but the CPU would see an operator that is called now."""
    return (
        _level() is not None
        or torch.is_autocast_enabled("cpu")
        or is_in_torch_dispatch_mode()
        or forward_mode()
        or jit()
    )
