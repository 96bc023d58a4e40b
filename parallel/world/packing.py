"""Packs many tensors into one flat buffer per dtype, and unpacks them."""

from collections.abc import Sequence

import torch

State = dict[str, torch.Tensor]


def pack(tensors: State) -> list[torch.Tensor]:
    """Copy tensors, in the order of their names, into one buffer per dtype."""
    groups = _groups(tensors)
    return [torch.cat([tensors[k].flatten() for k in names]) for names in groups.values()]


def empty(like: State) -> list[torch.Tensor]:
    """Return buffers for what `pack` makes of tensors like these."""
    groups = _groups(like)
    return [
        torch.empty(sum(like[k].numel() for k in names), dtype=dtype, device=like[names[0]].device)
        for dtype, names in groups.items()
    ]


def unpack(buffers: Sequence[torch.Tensor], like: State) -> State:
    """Return views of the buffers with the shapes of `like`: the inverse of pack."""
    found = {}
    for names, buffer in zip(_groups(like).values(), buffers, strict=True):
        parts = buffer.split([like[k].numel() for k in names])
        found |= {k: part.view(like[k].shape) for k, part in zip(names, parts, strict=True)}
    return {k: found[k] for k in like}


def _groups(tensors: State) -> dict[torch.dtype, list[str]]:
    groups: dict[torch.dtype, list[str]] = {}
    for name, value in tensors.items():
        groups.setdefault(value.dtype, []).append(name)
    return groups
