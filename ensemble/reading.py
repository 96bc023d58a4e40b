"""Says in words why nets cannot read inputs, where torch has said it in its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from harness.names import kind_of

RAISED = (RuntimeError, TypeError, AttributeError, IndexError)  # by layers that are given such
NO_TENSOR = "inputs are a tensor, got {}: torch.as_tensor(x)"


def blamed(net: nn.Module, x: Any, error: Exception, who: str = "members") -> str:
    """Return what is wrong with inputs where torch has said this, or nothing."""
    if not isinstance(x, torch.Tensor):
        return NO_TENSOR.format(kind_of(x))
    own, said = next((p.dtype for p in net.parameters()), x.dtype), str(error)
    kind = isinstance(error, RuntimeError)
    plain = x.is_floating_point() or "same dtype" in said or "should be the same" in said
    if kind and "type" in said and plain and x.dtype != own:
        return f"inputs are {x.dtype} and {who} {own}: x.to({own})"
    wrong = kind and ("shape" in said or "size" in said)
    wrong = wrong or (isinstance(error, IndexError) and "Dimension out of range" in said)
    return f"{who} cannot read inputs of shape {tuple(x.shape)}: {error}" if wrong else ""


@contextmanager
def reading(net: nn.Module, x: Any, who: str) -> Iterator[None]:
    """Turn torch's error inside into a sentence, if inputs are plainly none for this net.

    Raises:
        ValueError: they are.
    """
    try:
        yield
    except RAISED as error:
        if said := blamed(net, x, error, who):
            raise ValueError(said) from error
        raise


def samples(x: Any) -> torch.Tensor:
    """Return inputs if they are a tensor.

    Raises:
        ValueError: an array, a list or something else.
    """
    if not isinstance(x, torch.Tensor):
        raise ValueError(NO_TENSOR.format(kind_of(x)))
    return x
