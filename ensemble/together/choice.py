"""Finds out whether a stack or a loop is faster here, as `auto` of the sparse layers does.

Measured once a machine for each kind of call and kept in the file of bibd.kernels.tune, so that a
run and its resumption compute alike and a record says which way was taken. Correctness never
depends on it: both ways compute the same within rounding.
"""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from bibd.kernels import tune
from harness.cost import synchronize

AS = (
    2  # counts what has made a stack or a loop faster, so that what was measured before is not read
)


class Kind(NamedTuple):
    """What decides which way is faster; batch sizes go by powers of 2."""

    nets: str  # digest of what one member is
    members: int
    inputs: tuple[int, ...]
    batch: int
    dtype: torch.dtype
    device: str
    threads: int
    training: bool
    gradients: str  # "", "members" or "whole": whose parameters get them
    each: bool  # whether every member reads inputs of its own

    def __str__(self):
        shape = "x".join(map(str, self.inputs))
        use = ("training" if self.training else "eval") + (
            f" with gradients of {self.gradients}" if self.gradients else ""
        )
        words = f"ensemble {AS} {self.nets} x{self.members} inputs {shape} batch {1 << self.batch}"
        each = " each" if self.each else ""
        kind = str(self.dtype).removeprefix("torch.")
        return f"{words}{each} {kind} {self.device} {self.threads} threads {use}"


def digest(net: nn.Module) -> str:
    """Return a short name of what a net computes with: its layers and the sizes of its numbers."""
    parts = [
        (type(m).__qualname__, [tuple(p.shape) for p in m.parameters(recurse=False)])
        for m in net.modules()
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def faster(kind: Kind, ways: Callable[[], dict[str, Callable[[], Any]]]) -> str:
    """Return "stack" or "loop", measured if no process has done that before.

    Errors of the loop are the user's and are raised; a stack that fails is not taken.
    """

    def candidates() -> dict[str, Callable[[], Any]]:
        made = ways()
        # Before the clock runs: what goes wrong here is said, and layers choose their own paths.
        made["loop"]()
        with contextlib.suppress(ValueError, RuntimeError):  # (which the measurement finds out)
            made["stack"]()
        return made

    with torch.random.fork_rng():
        return tune.choice(kind, candidates)  # pyright: ignore[reportArgumentType]


def trial(
    call: Callable[[], torch.Tensor], leaves: list[torch.Tensor], device: torch.device
) -> Callable[[], Any]:
    """Return one call to be timed, with its backward pass if there are leaves."""

    def run() -> None:
        y = call()
        if leaves:
            torch.autograd.grad(y, leaves, torch.ones_like(y), allow_unused=True)
        synchronize(device)

    return run
