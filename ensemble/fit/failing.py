"""Members that come to nothing: found, named, and stopped at or left out, as asked."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn

from harness.names import check

NAN = ("stop", "leave out")


def broken(losses: torch.Tensor, net: nn.Module, epoch: int) -> str:
    """Return what became of a member whose losses (steps,) or parameters are not finite; or ""."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        return f"its loss became {float(losses[step])} at step {step + 1} of epoch {epoch}"
    for name, p in net.named_parameters():
        if not bool(p.isfinite().all()):
            return f"its parameter {name} is not finite after epoch {epoch}"
    return ""


def met(member: int, what: str, nan: str) -> None:
    """Say that a member is left out, or stop, as `nan` asks.

    Raises:
        ValueError: `nan` is "stop".
    """
    words = f"member {member}: {what}"
    if nan == "stop":
        raise ValueError(
            f"{words}; lower the rate of the optimizer, or go on without such members: "
            'nan="leave out"'
        )
    warnings.warn(f"{words}; it is left out", stacklevel=4)


def checked(nan: str) -> str:
    """Return `nan` if it is one of those that there are."""
    return check("nan", nan, NAN)


def some(members: Sequence[nn.Module], asked: int) -> list[nn.Module]:
    """Return the members that are left.

    Raises:
        ValueError: there are none.
    """
    if not members:
        raise ValueError(f"none of {asked} members came to anything; see the warnings for each")
    return list(members)
