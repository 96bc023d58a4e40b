"""What is going on around a call: whether torch transforms, traces or watches it."""

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def in_transform() -> bool:
    """True inside torch.func transforms and forward-mode AD."""
    # Private, and the only way to ask; where a name is missing, take the path that always works.
    functorch = getattr(torch._C, "_functorch", None)
    level = getattr(functorch, "maybe_current_level", None)
    forward = getattr(torch.autograd.forward_ad, "_current_level", 0)
    return level is None or level() is not None or forward >= 0


def forward_mode() -> bool:
    """True inside forward-mode AD, for which the native kernels have no rule."""
    return getattr(torch.autograd.forward_ad, "_current_level", 0) >= 0


def batched(x: torch.Tensor) -> bool:
    """True for the many gradients at a time of autograd.grad(is_grads_batched=True)."""
    return "Batched" in str(torch._C._dispatch_keys(x))


def tracing() -> bool:
    """True where a program is written down: jit.trace, export (fx brings stand-ins for tensors)."""
    exporting = getattr(torch.compiler, "is_exporting", lambda: False)
    return torch.jit.is_tracing() or exporting()  # pyright: ignore


def watched() -> bool:
    """Whether an operator called now would be seen by anybody but the CPU."""
    return (
        in_transform()
        or is_in_torch_dispatch_mode()
        or torch.is_autocast_enabled("cpu")
        or torch.jit.is_tracing()  # pyright: ignore
    )
