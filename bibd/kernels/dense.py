"""The oracle path: put the values where they belong in a full weight, then multiply densely."""

import torch
import torch.nn.functional as F


def dense_weight(values: torch.Tensor, flat: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The weight (..., out, in) of values (..., nonzeros) at row-major places `flat`."""
    full = values.new_zeros(*values.shape[:-1], shape[0] * shape[1])
    return full.scatter_(-1, flat.expand_as(values), values).unflatten(-1, shape)


def dense_linear(x, values, bias, flat, shape):
    """F.linear with the scattered weight."""
    return F.linear(x, dense_weight(values, flat, shape), bias)
