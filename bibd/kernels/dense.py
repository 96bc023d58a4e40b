"""The oracle path: put the values where they belong in a full weight, then multiply densely."""

import torch
import torch.nn.functional as F


def dense_weight(values: torch.Tensor, flat: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The weight (*members, out, in, *window) of values (*members, connections, *window)."""
    members = values.ndim - (len(shape) - 2) - 1
    out, inputs, *window = shape
    full = values.new_zeros(*values.shape[:members], out * inputs, *window)
    places = flat.view(*flat.shape, *[1] * len(window)).expand_as(values)
    return full.scatter_(members, places, values).unflatten(members, (out, inputs))


def dense_linear(x, values, bias, flat, shape):
    """F.linear with the scattered weight."""
    return F.linear(x, dense_weight(values, flat, shape), bias)
