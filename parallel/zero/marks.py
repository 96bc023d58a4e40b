"""What stands in a parameter's `grad` while owners have the gradient: NaN, not to be changed.

It is how an optimizer's `zero_grad` is noticed: where the mark is gone, the piece's gradient is,
too. Whoever would scale gradients there (torch's clipping, a GradScaler) is told why he cannot.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

HARMLESS = ("requires_grad_", "detach_", "retain_grad")


class Mark(torch.Tensor):
    """A tensor all of whose numbers are one NaN in memory; nobody can write into it."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do what torch does, but for what writes: `g[...] = x`, and names that end with one _.

        Raises:
            ValueError: says what to do instead.
        """
        name = getattr(func, "__name__", "")
        within = name.endswith("_") and not name.endswith("__") and name not in HARMLESS
        if within or name == "__setitem__":
            raise ValueError(
                f"{name}: under zero1 to zero3 gradients are with their owners, what is left"
                " cannot be changed. Clip by net.clip_grad_norm_(...), clear by zero_grad(), which"
                " sets to None, and leave out a GradScaler: bfloat16 needs none"
            )
        return super().__torch_function__(func, types, args, kwargs or {})  # pyright: ignore

    def __deepcopy__(self, memo: dict) -> "Mark":
        return self  # (nobody can write into it)


class Marks:
    """The marks of the parameters here."""

    def __init__(self):
        self.known: dict[nn.Parameter, Mark] = {}

    def put(self, leaf: nn.Parameter) -> None:
        """Mark a parameter."""
        mark = self.known.get(leaf)
        if mark is None or (mark.shape, mark.dtype) != (leaf.shape, leaf.dtype):
            one = torch.full((), float("nan"), dtype=leaf.dtype, device=leaf.device)
            self.known[leaf] = one.expand(leaf.shape).as_subclass(Mark)
        leaf.grad = self.known[leaf]

    def on(self, leaf: nn.Parameter) -> bool:
        """Return whether a parameter is marked, as nobody has cleared it."""
        return leaf.grad is not None and leaf.grad is self.known.get(leaf)
