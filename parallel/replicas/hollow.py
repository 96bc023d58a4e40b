"""Copies a model without its weights, which are given memory as soon as somebody looks at them.

Where workers divide what they hold, a whole model beside would be most of what they have.
"""

import copy

import torch
from torch import nn


def hollow(model: nn.Module) -> nn.Module:
    """Return a copy of a model; each trainable parameter is one NaN in memory, of its shape."""
    trained = (p for p in model.parameters() if p.requires_grad)
    return copy.deepcopy(model, {id(p): _without(p) for p in trained})


def _without(p: nn.Parameter) -> nn.Parameter:
    found = nn.Parameter(torch.full((), float("nan"), dtype=p.dtype, device=p.device))
    found.data = found.data.expand(p.shape)
    found.strides = getattr(p, "strides", p.stride())  # pyright: ignore[reportAttributeAccessIssue]
    return found


def is_hollow(model: nn.Module) -> bool:
    """Return whether some parameters of a model have no memory."""
    return any(map(_empty, model.parameters()))


@torch.no_grad()
def fill(model: nn.Module) -> nn.Module:
    """Give parameters memory where they have none, as they had it, for a state to be loaded."""
    for p in filter(_empty, model.parameters()):
        words = dict(dtype=p.dtype, device=p.device)
        p.data = torch.empty_strided(p.shape, p.strides, **words)  # pyright: ignore
    return model


def _empty(p: nn.Parameter) -> bool:
    return hasattr(p, "strides") and p.numel() > 1 and not any(p.stride())
