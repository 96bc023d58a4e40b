"""Puts what members answer on a leading axis, if they answer in the same classes."""

from collections.abc import Sequence

import torch


def together(answers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the answers of members on a leading axis.

    Raises:
        ValueError: members that answer in other shapes.
    """
    for member, found in enumerate(answers):
        if found.shape != answers[0].shape:
            raise ValueError(
                f"member {member} gives answers of shape {tuple(found.shape)}, member 0 of "
                f"{tuple(answers[0].shape)}: all members answer in the same classes"
            )
    return torch.stack(list(answers))
