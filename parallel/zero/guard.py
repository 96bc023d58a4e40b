"""Refuses an optimizer's own state_dict while its state is in slices, of which it has nothing."""

import weakref
from typing import Any

import torch

from parallel.zero.slices import Slices


def guard(optimizer: torch.optim.Optimizer, slices: Slices) -> None:
    """Have an optimizer refuse to be saved by itself: the file would lack its moments."""
    known = weakref.ref(slices)

    def refuse(_: Any) -> None:
        held = known()
        if held is not None and not held.asked and any(held.state.values()):
            raise ValueError(
                "optimizer.state_dict(): under zero1 to zero3 its state is in slices, and this "
                "would have none of it: save net.training_state(optimizer) on each rank, which "
                "has weights and optimizer, or all by parallel.zero.checkpoint.save"
            )

    optimizer.register_state_dict_pre_hook(refuse)


def options(optimizer: torch.optim.Optimizer, slices: Slices) -> dict[str, Any]:
    """Return an optimizer's state_dict without what is in slices."""
    slices.asked = True
    try:
        return optimizer.state_dict()
    finally:
        slices.asked = False
