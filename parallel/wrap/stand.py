"""What stands for weights in a graph: other numbers, the same gradient.

`Stand` is a version of one weight, `Again` a whole stage whose backward pass does the forward pass
again, with other weights. Gradients of both go to the true weights.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call


class Stand(torch.autograd.Function):
    """A version of a weight, whose gradient goes to the weight itself."""

    @staticmethod
    def forward(ctx: Any, p: nn.Parameter, seen: torch.Tensor, late: Any) -> torch.Tensor:  # noqa: D102
        ctx.late, ctx.number = late, late.weights.number
        return seen.detach()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # noqa: D102  # pyright: ignore
        ctx.late.in_time(ctx.number)
        return grad, None, None


class Again(torch.autograd.Function):
    """A stage whose backward pass sees the newest weights, in a forward pass done again."""

    @staticmethod
    def forward(ctx: Any, late: Any, key: Any, seen: Any, x: torch.Tensor, *params: Any) -> Any:  # noqa: D102
        ctx.late, ctx.key, ctx.number = late, key, late.weights.number
        ctx.save_for_backward(x.clone() if _writes(late.module) else x)
        ctx.casts = casts(x.device.type)
        with late.noise(late.module, key):
            return functional_call(late.module, seen, (x,))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> Any:  # noqa: D102
        late = ctx.late
        late.in_time(ctx.number)
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_(ctx.needs_input_grad[3])
        leaves = {n: w.detach().requires_grad_() for n, w in late.weights.newest.items()}
        with (
            ctx.casts,
            torch.enable_grad(),
            late.noise.again(late.module),
            late.noise(late.module, ctx.key),
        ):
            y = functional_call(late.module, leaves, (x.clone(),))  # (which it may write into)
        wanted = [t for t in (x, *leaves.values()) if t.requires_grad]
        found = list(torch.autograd.grad(y, wanted, dy, allow_unused=True))
        dx = found.pop(0) if x.requires_grad else None
        return None, None, None, dx, *found


def casts(device: str) -> torch.autocast:
    """Autocast as it is now on a device, to do something again under it."""
    on, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return torch.autocast(device, dtype, enabled=on, cache_enabled=False)


def _writes(module: nn.Module) -> bool:
    """Whether a layer says that it writes into its input."""
    return any(getattr(m, "inplace", False) for m in module.modules())
