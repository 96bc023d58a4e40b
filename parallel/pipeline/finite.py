"""Refuses to hand on what is not finite, and says where it comes from."""

from collections.abc import Mapping

import torch

from parallel.world.comm import NotFinite


def refuse(value: torch.Tensor, op: str, stage: int, t: int, weights: Mapping[str, torch.Tensor]):
    """Hand on nothing that is not finite.

    Args:
        value: What is about to be sent.
        op: Of the action that gave it.
        stage: Of that action.
        t: Its minibatch.
        weights: Of that stage.

    Raises:
        NotFinite: names the stage, what it was about to send, and weights that are not finite.
    """
    if finite(value):
        return
    what = "its output" if op == "F" else "the gradient of its inputs"
    names = [name for name, w in weights.items() if not finite(w)]
    own = f"its weights {', '.join(names)} are not finite" if names else "its weights are finite"
    raise NotFinite(
        f"stage {stage} has NaN or infinity in {what} for minibatch {t}; {own}. It was not sent. "
        + ("Lower the learning rate" if names else "Look at the data and the loss, or lower the lr")
    )


def finite(value: torch.Tensor) -> bool:
    """Whether all numbers of a tensor are."""
    if bool(torch.isfinite(value.sum())):
        return True
    return bool(torch.isfinite(value).all())
