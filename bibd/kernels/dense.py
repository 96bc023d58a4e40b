"""The oracle path: put the values where they belong in a full weight, then multiply densely."""

import torch
import torch.nn.functional as F


def dense_weight(
    values: torch.Tensor, flat: torch.Tensor, shape: tuple[int, ...], members: tuple[int, ...] = ()
) -> torch.Tensor:
    """The weight (*members, out, in, *window) of values (*members, connections, *window)."""
    # No size is read from a tensor: torch.fx can follow.
    out, inputs, *window = shape
    axis = len(members)
    full = values.new_zeros(*members, out * inputs, *window)
    places = flat.view(*members, -1, *[1] * len(window)).expand_as(values)
    return full.scatter_(axis, places, values).unflatten(axis, (out, inputs))


def dense_linear(x, values, bias, flat, shape):
    """F.linear with the scattered weight."""
    return F.linear(x, dense_weight(values, flat, shape), bias)
