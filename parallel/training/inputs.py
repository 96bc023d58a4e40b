"""The data that a net is trained on; numbers of words stay whole where it reads words."""

import contextlib
from typing import Any

import torch
from torch import nn

from harness.data import Data, as_data
from harness.names import uncalled

WORDS = nn.Embedding | nn.EmbeddingBag


def inputs_of(source: Any, model: Any) -> Data:
    """Turn what a caller passes as data into a Data that the net can read.

    Args:
        source: The name of a data set, tensors (x, y), a torch Dataset or a Data.
        model: The net, or what makes it.

    Raises:
        ValueError: it is nothing of these, or floats for a net that begins with an embedding.
    """
    if isinstance(source, str):
        return as_data(source).flatten()
    if isinstance(source, type):
        raise ValueError(f"data is an object, got {source!r}{uncalled(source)}")
    whole = not isinstance(source, Data) and reads_words(model)
    data = as_data(source, tokens=whole and _whole(source))
    if not data.tokens and begins_with_words(model):
        raise ValueError(
            f"the net begins with an embedding, which reads whole numbers, and the inputs of "
            f"{data.name} are {str(data.train_x.dtype).removeprefix('torch.')}: give numbers of "
            "words as integers, Data.from_tensors(x.long(), y, tokens=True)"
        )
    return data


def reads_words(model: Any) -> bool:
    """Whether the first layer with weights is an embedding."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    return isinstance(next((m for m in layers if m._parameters), None), WORDS)


def begins_with_words(model: Any) -> bool:
    """Whether the inputs go into an embedding, for sure: the first in a row of layers."""
    while isinstance(model, nn.Sequential) and len(model):
        model = model[0]
    return isinstance(model, WORDS)


def _whole(source: Any) -> bool:
    """Whether the inputs of tensors (x, y), or of the first item of a Dataset, are integers."""
    pair = source if isinstance(source, tuple | list) and len(source) == 2 else None
    with contextlib.suppress(Exception):  # (what it is instead, as_data says)
        x = torch.as_tensor((pair or source[0])[0])
        return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)
    return False
