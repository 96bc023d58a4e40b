"""Multiplies densely, after putting the values in their places in a full weight: the oracle."""

from typing import Any

import torch
import torch.nn.functional as F

from bibd.kernels import modes


def dense_weight(
    values: torch.Tensor, flat: torch.Tensor, shape: tuple[int, ...], members: tuple[int, ...] = ()
) -> torch.Tensor:
    """Return the full weight (*members, out, in, *window) of the values.

    Beside the zeros it is one operation, whose gradient is one more: on a GPU each is a launch, and
    a net has them in every layer. (index_copy_ moves whole windows where scatter_ moves numbers;
    what watches or transforms a call gets the one that it always got.)
    """
    # No size is read from a tensor: torch.fx can follow.
    out, inputs, *window = shape
    axis = len(members)
    full = values.new_zeros(*members, out * inputs, *window)
    if modes.quiet() and not members:
        return full.index_copy_(0, flat, values).unflatten(0, (out, inputs))
    places = flat.view(*members, -1, *[1] * len(window)).expand_as(values)
    return full.scatter_(axis, places, values).unflatten(axis, (out, inputs))


def dense_linear(x, values, bias, flat, shape):
    """Apply F.linear with the scattered weight."""
    return unchanged(F.linear(x, dense_weight(values, flat, shape), bias), x, values)


def unchanged(y: torch.Tensor, x: Any, values: Any) -> torch.Tensor:
    """Return y, but let its backward pass refuse values that were written over since.

    Autograd keeps the scattered weight and not the values, so it would not notice by itself, as it
    does for nn.Linear where the input needs a gradient.
    """
    if not modes.quiet() or not isinstance(y, torch.Tensor):
        return y  # (what is compiled or transformed is not looked at)
    if y.grad_fn is None or not x.requires_grad:
        return y
    version = values._version

    def check(_):
        if values._version != version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: the values {tuple(values.shape)} of a sparse layer are at "
                f"version {values._version}; expected version {version} instead"
            )

    y.grad_fn.register_prehook(check)
    return y
