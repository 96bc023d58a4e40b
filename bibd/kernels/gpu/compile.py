"""Compiles a form of fine.cu for a card, once a process: by torch's own NVRTC, else by CuPy.

Where neither can (no NVRTC, a driver that is too old, a kernel that does not compile or asks for
more than the card has), one notice says so and the dense path does the work.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bibd.kernels.gpu.fit import Unfit
from bibd.kernels.gpu.forms import Form

Kernel = Callable[..., Any]
_made: dict[tuple[Form, int], Kernel | str] = {}
_said: set[str] = set()
_lock = threading.Lock()


def compiled(form: Form, index: int | None = None) -> Kernel:
    """Return a function of grid and arguments, for the card of this number or the current one.

    Raises:
        Unfit: neither torch nor CuPy compiles it; with what they said.
    """
    key = form, torch.cuda.current_device() if index is None else index
    with _lock:
        if key not in _made:
            with torch.cuda.device(key[1]):
                _made[key] = _compile(form)
    found = _made[key]
    if isinstance(found, str):
        raise Unfit(found)
    return found


def _compile(form: Form) -> Kernel | str:
    said = []
    for name, way in (("torch", by_torch), ("CuPy", by_cupy)):
        try:
            return way(form)
        except Exception as error:
            said.append(f"{name}: {type(error).__name__}: {error}")
    return f"{form.said()} was not compiled: {' | '.join(said)}"[:1500]


def notice(why: str) -> None:
    """Say once in a process that a card's kernels do not do the work, and why."""
    if not _said:
        print(f"iddl: no kernel of the card, the dense path does the work: {why}", file=sys.stderr)
    _said.add(why)


def by_torch(form: Form) -> Kernel:
    """Compile through torch's own NVRTC (torch 2.8 and later)."""
    kernel: Any = torch.cuda._compile_kernel(form.source(), form.kernel)
    if form.shared >= 48 * 1024:
        kernel.set_shared_memory_config(form.shared)
    block = 32 * form.warps, 1, 1
    return lambda blocks, *args: kernel(blocks, block, list(args), form.shared)


def by_cupy(form: Form) -> Kernel:
    """Compile through CuPy, and run on torch's stream."""
    import cupy  # pyright: ignore[reportMissingImports]

    kernel = cupy.RawKernel(form.source(), form.kernel, options=("--std=c++17",))
    kernel.max_dynamic_shared_size_bytes = form.shared
    block = 32 * form.warps, 1, 1

    def call(blocks, *args):
        plain = [a.data_ptr() if isinstance(a, torch.Tensor) else np.int32(a) for a in args]
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            kernel(blocks, block, tuple(plain), shared_mem=form.shared)

    return call
