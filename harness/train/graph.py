"""Replays a training step as a CUDA graph: one launch where an eager step has hundreds.

    call     1   2   3       4                           5 ...
             eager steps     recorded, then replayed     inputs copied in, replayed

A step is a function of tensors that changes weights in place and returns a tensor; it is its own
eager twin. What it reads must lie where it lay when it was recorded: its arguments are copied into
buffers of the graph, and all else is written in place (the moves of an epoch, a `Rate`). What it
counts in Python stands still. Numbers that are drawn on the card advance with each replay, as eager
steps would draw them.

Inputs of another shape, such as a smaller last batch, go through the eager step. A step that waits
for the device, draws numbers on the CPU or fails while it is recorded stays eager: one warning says
why, and so does the record (`taken`).
"""

import random
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from harness.train.card import Card

Step = Callable[..., torch.Tensor]
Within = Callable[[], AbstractContextManager[Any]]
WARM = 3  # eager steps before: an optimizer makes its buffers, libraries choose and compile
_taken: dict[str, str] = {}


def stepper(
    step: Step,
    how: str,
    device: str,
    optimizer: torch.optim.Optimizer | None = None,
    within: Within = nullcontext,
) -> Step:
    """Return what to call in the place of the step.

    Args:
        step: A function of tensors, always as many, on the device.
        how: "on", "off", or "auto" (where there are graphs).
        device: Where it computes.
        optimizer: One whose settings may change now and then; steps are then recorded anew.
        within: Makes a context for the steps before a recording and for the recording itself:
            bibd.replayed, in which sparse layers choose for replayed calls.

    Raises:
        ValueError: graphs are wanted where there are none.
    """
    kind = torch.device(device).type
    if how == "on" and kind not in RECORDERS:
        raise ValueError(f"--graph on needs a CUDA card and the device is {device}: type auto")
    if kind not in RECORDERS:
        return step
    _taken["step"] = "eager"
    return step if how == "off" else Replayed(step, RECORDERS[kind](device), optimizer, within)


def taken() -> dict[str, str]:
    """Return how steps were made since the last call, for a record; nothing without a card."""
    found = dict(_taken)
    _taken.clear()
    return found


class Replayed:
    """A step that is recorded at its fourth call, and replayed from then on."""

    def __init__(
        self,
        step: Step,
        recorder: Any,
        optimizer: torch.optim.Optimizer | None = None,
        within: Within = nullcontext,
    ):
        self.step, self.recorder, self.optimizer = step, recorder, optimizer
        self.within = within
        self.calls = 0
        self.why = ""  # it stays eager
        self.shapes: list[torch.Size] = []
        self.inputs: list[torch.Tensor] = []
        self.output = torch.empty(0)
        self.replay: Callable[[], None] | None = None
        self.settings: list[tuple[str, Any]] = []

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Make one step; the tensor that comes back is the caller's own."""
        shapes = [x.shape for x in inputs]
        self.shapes = self.shapes or shapes
        if self.why or shapes != self.shapes:
            return self.step(*inputs)
        self.calls += 1
        if self.calls <= WARM:
            return self._warm(inputs, last=self.calls == WARM)
        if self.replay is None or self.settings != settings(self.optimizer):
            self._record(inputs)
        return self.step(*inputs) if self.replay is None else self._again(inputs)

    def _warm(self, inputs: tuple[torch.Tensor, ...], last: bool) -> torch.Tensor:
        """Make an eager step; in the last one nothing may happen that a graph would lose."""
        before = _draws()
        with self.within(), self.recorder.warm() as complaints:
            found = self.step(*inputs)
        if _draws() != before:
            complaints.append("it draws random numbers on the CPU, which each replay would repeat")
        if last and complaints:
            self._stay(complaints[0])
        return found

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        self.inputs, self.replay = [x.clone() for x in inputs], None
        self.settings = settings(self.optimizer)
        try:
            with self.within():
                self.output, self.replay = self.recorder.record(lambda: self.step(*self.inputs))
            _taken["step"] = "CUDA graph"
        except Exception as error:
            self._stay(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")

    def _again(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        assert self.replay
        for place, value in zip(self.inputs, inputs, strict=True):
            place.copy_(value)
        self.replay()
        return self.output.clone()

    def _stay(self, why: str) -> None:
        self.why, _taken["step"] = why, f"eager: {why}"
        text = f"training steps run one operation after the other, not as a CUDA graph: {why}"
        warnings.warn(text, stacklevel=4)


def settings(optimizer: torch.optim.Optimizer | None) -> list[tuple[str, Any]]:
    """Return what a graph has as numbers of its own; tensors (a `Rate`) it reads where they lie."""
    groups = optimizer.param_groups if optimizer else []
    return [
        (name, id(value) if isinstance(value, torch.Tensor) else value)
        for group in groups
        for name, value in group.items()
        if name != "params"
    ]


class Rate:
    """The rate of an optimizer; where steps are replayed it is a tensor that they read.

    An eager step on a card reads it too, so that both make equal numbers: the card's fused SGD
    takes a tensor in float32. Make it after the optimizer's state has been loaded.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: str):
        kind = torch.device(device).type
        self.groups, self.value = optimizer.param_groups, None
        if kind in RECORDERS:
            dtype = torch.float32 if kind == "cuda" else torch.float64
            self.value = torch.zeros((), dtype=dtype, device=device)

    def set(self, rate: float) -> None:
        """Let the next steps have this rate."""
        if self.value is not None:
            self.value.fill_(rate)
        for group in self.groups:
            group["lr"] = rate if self.value is None else self.value


def _draws() -> tuple[Any, ...]:
    """Return how far the generators of the CPU are."""
    (_, keys, *place), own = np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    return own.tolist(), random.getstate(), np.asarray(keys).tolist(), place


# What records on which kind of device.
RECORDERS: dict[str, Callable[[str], Any]] = {"cuda": Card}
