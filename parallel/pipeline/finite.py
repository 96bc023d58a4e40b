"""Refuses to hand on what is not finite, and says where it comes from."""

import math
from collections.abc import Mapping
from typing import NoReturn

import torch

from parallel.world.comm import NotFinite

WEIGHTS = "Lower the learning rate"
SAMPLES = "Look at the data and the loss, or lower the learning rate"


def refuse(
    value: torch.Tensor, op: str, stage: int | str, t: int, weights: Mapping[str, torch.Tensor]
):
    """Hand on nothing that is not finite.

    Args:
        value: What is about to be sent.
        op: Of the action that gave it.
        stage: Of that action, and of which replica.
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
        + (WEIGHTS if names else SAMPLES)
    )


def lost(t: int, stages: Mapping[int, Mapping[str, torch.Tensor]]) -> NoReturn:
    """Stop where the loss is not finite; in a simulation nothing has been refused before.

    Args:
        t: The minibatch.
        stages: The weights of the stages here.

    Raises:
        NotFinite: names the first stage here whose weights are not finite.
    """
    for k, weights in sorted(stages.items()):
        names = [name for name, w in weights.items() if not finite(w)]
        if names:
            raise NotFinite(
                f"the loss of minibatch {t} is NaN or infinity: of stage {k} the weights "
                f"{', '.join(names)} are not finite. {WEIGHTS}"
            )
    raise NotFinite(
        f"the loss of minibatch {t} is NaN or infinity, and all weights here are finite. {SAMPLES}"
    )


def hopeless(loss: torch.Tensor) -> bool:
    """Whether a loss is not finite; of a stack: no member's is."""
    return not (bool(loss.isfinite().any()) if loss.dim() else math.isfinite(loss.item()))


def finite(value: torch.Tensor) -> bool:
    """Whether all numbers of a tensor are."""
    return math.isfinite(float(value.sum())) or bool(torch.isfinite(value).all())
