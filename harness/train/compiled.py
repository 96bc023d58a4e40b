"""A forward pass under torch.compile, and the seconds that compiling takes."""

import time
from collections.abc import Callable
from typing import Any

import torch

from harness.cost import synchronize


class Compiled:
    """A function of one tensor, compiled for inputs of the shape of its first.

    Others, such as a smaller last batch, go through the function itself: compiling once more takes
    longer than all steps of that size.
    """

    def __init__(self, function: Callable[[torch.Tensor], Any]):
        torch.compiler.reset()  # (nets of runs before would count against torch's limit)
        self.plain, self.fast = function, torch.compile(function, dynamic=False)
        self.shape: torch.Size | None = None

    def __call__(self, x: torch.Tensor) -> Any:
        """Return what the function does."""
        self.shape = self.shape or x.shape
        return (self.fast if x.shape == self.shape else self.plain)(x)


class Bill:
    """A step; `times` has the seconds of its first call, in which it compiles, once."""

    def __init__(self, step: Callable[..., torch.Tensor], device: str):
        self.step, self.device = step, torch.device(device)
        self.times: dict[str, float] = {}
        self.called = False

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Make one step."""
        if self.called:
            return self.step(*inputs)
        self.called = True
        begin = time.perf_counter()
        found = self.step(*inputs)
        synchronize(self.device)
        self.times["compile_time"] = time.perf_counter() - begin
        return found

    def row(self) -> dict[str, float]:
        """Return what to add to the row of an epoch: nothing but after the first."""
        found, self.times = self.times, {}
        return found
