"""What the first of n ranks holds of weights, gradients and optimizer, by stage of ZeRO.

N numbers, a slice is S = ceil(N / n), p bytes each:

    kind          stage 0    1       2       3
    optimizer     p N        p S     p S     p S
    gradients     p N        p N     p S     p S
    parameters    p N        p N     p N     p S, and while one is computed, the largest unit

Gradients of stage 1 are whole until the backward is over; those of stages 2 and 3 until their unit
is sent. What the first forward pass keeps for the backward is divided by nobody: a rank keeps what
its own samples need (primer.batch.costs).
"""

from math import ceil
from typing import Any

import torch

from parallel.training.training import Training

FIRST = {"optimizer": 1, "gradients": 2, "parameters": 3}  # the stage that divides it


def held(kind: str, stage: int, numbers: int, ranks: int, each: int) -> int:
    """Return the bytes of a kind between two steps, of `each` for a number."""
    return each * (ceil(numbers / ranks) if stage >= FIRST[kind] else numbers)


def lent(stage: int, numbers: int, ranks: int, unit: int, each: int) -> int:
    """Return the bytes of weights while the largest unit, of so many numbers, is computed."""
    return held("parameters", stage, numbers, ranks, each) + (each * unit if stage == 3 else 0)


def counted(training: Training) -> tuple[dict[str, float], dict[str, float]]:
    """Return the bytes of a rank after a step, and the most that there were, by kind."""
    executor: Any = training.executor
    if hasattr(executor, "meter"):
        row = executor.meter.row(executor.strategy.stage)
        return row["held_rest"], row["held_peak"]
    found = {kind: _bytes(own) / training.comm.workers for kind, own in _whole(training).items()}
    return found, found


def _whole(training: Training) -> dict[str, list[torch.Tensor]]:
    """Return what workers hold who divide nothing, all of them together."""
    members = training.members
    leaves = [leaf for name in members.get("params") for leaf in members.leaves_of(name)]
    optimizer: Any = training.executor.optimizer
    states = [value for own in optimizer.state.values() for value in own.values()]
    return {
        "parameters": [leaf.detach() for leaf in leaves],
        "gradients": [leaf.grad for leaf in leaves if leaf.grad is not None],
        "optimizer": [value for value in states if value.ndim],  # (Adam counts its steps, too)
    }


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
