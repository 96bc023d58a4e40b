"""Puts what members answer on a leading axis, if they answer in the same classes."""

from collections.abc import Sequence

import torch

from ensemble.checks import tensor


def together(answers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the answers of members on a leading axis.

    Raises:
        ValueError: members that answer in other shapes, or not with a tensor.
    """
    for member, found in enumerate(answers):
        tensor(found, f"member {member}")
        if found.shape != answers[0].shape:
            raise ValueError(
                f"member {member} gives answers of shape {tuple(found.shape)}, member 0 of "
                f"{tuple(answers[0].shape)}: all members answer in the same classes"
            )
    return torch.stack(list(answers))
