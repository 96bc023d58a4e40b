"""What a worker holds that divides nothing: stage 0, beside which the stages of ZeRO stand.

Its gradients are there from a backward to the next one, so that a look between two steps sees the
most that there ever is.
"""

from dataclasses import asdict
from typing import Any

import torch

from parallel.replicas.replicas import Looped, Stacked
from parallel.strategy.zero import Held, held
from parallel.zero.meter import along, stored


def row(members: Stacked | Looped, optimizer: Any) -> dict[str, Any]:
    """Return what the first worker here holds now, for a row, beside the formula."""
    first = (members.leaves_of(name)[0] for name in members.get("params"))
    leaves = [leaf for leaf in first if leaf.requires_grad]
    share = members.size if isinstance(members, Stacked) else 1
    found = asdict(_held(leaves, optimizer, share))
    numbers: dict[torch.dtype, list[torch.nn.Parameter]] = {}
    for leaf in leaves:
        numbers.setdefault(leaf.dtype, []).append(leaf)
    theory = dict.fromkeys(found, 0.0)
    for dtype, own in numbers.items():
        state = max(sum(v.element_size() for v in _states(leaf, optimizer)) for leaf in own)
        size = sum(leaf.numel() for leaf in own) / share
        kinds = asdict(held(0, size, 1, Held(dtype.itemsize, dtype.itemsize, state)))
        theory = {k: v + kinds[k] for k, v in theory.items()}
    return {"held_rest": found, "held_peak": found, "held_theory": theory}


def _held(leaves: list[torch.nn.Parameter], optimizer: Any, share: int) -> Held:
    """Count each piece of memory once; a stack's belongs to all its workers."""
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    states = [value for leaf in leaves for value in _states(leaf, optimizer)]
    return Held(*(stored(each) / share for each in (leaves, gradients, states)))


def _states(leaf: torch.nn.Parameter, optimizer: Any) -> list[torch.Tensor]:
    """Return what the optimizer keeps of each number of a parameter."""
    own = optimizer.state.get(leaf, {})
    return [
        v
        for k, v in own.items()
        if isinstance(v, torch.Tensor) and along(k, v.flatten(), leaf.numel())
    ]
