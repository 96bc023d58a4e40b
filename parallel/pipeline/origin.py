"""Whether a tensor was made of weights alone or also of inputs, followed through all operations.

    w ──► g / |v| v ──► conv ──► relu        of weights, until the inputs come in
    x ──────────────────►│                   of inputs, all that comes after

Numbers cannot tell: after batch norm with two values a channel, what comes out is plus or minus one
whatever the inputs were, and dead units give zeros for all of them.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Origin(TorchDispatchMode):
    """While it is on, notes for each piece of memory what it was made of.

    Args:
        weights: Made of weights.
        inputs: Made of inputs.
    """

    def __init__(self, weights: Iterable[torch.Tensor], inputs: Iterable[torch.Tensor]):
        super().__init__()
        self.held: list[torch.Tensor] = []  # (so that no memory is given out twice)
        self.of_weights: set[int] = set()
        self.of_inputs: set[int] = set()
        self._note(weights, self.of_weights)
        self._note(inputs, self.of_inputs)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, and note down of what its outputs are."""
        given = {k for t in _tensors((args, kwargs)) for k in _places(t)}
        found = func(*args, **(kwargs or {}))
        if given & self.of_inputs:
            self._note(_tensors(found), self.of_inputs)
        elif given & self.of_weights:
            self._note(_tensors(found), self.of_weights)
        return found

    def weights_alone(self, tensor: torch.Tensor) -> bool:
        """Whether no inputs had a part in it, and weights had."""
        places = set(_places(tensor))
        return bool(places & self.of_weights) and not places & self.of_inputs

    def _note(self, tensors: Iterable[torch.Tensor], places: set[int]) -> None:
        for tensor in tensors:
            self.held.append(tensor)
            places.update(_places(tensor))


def _tensors(values: Any) -> list[torch.Tensor]:
    return [t for t in tree_leaves(values) if isinstance(t, torch.Tensor)]


def _places(tensor: torch.Tensor) -> list[int]:
    """Where its memory begins; nowhere if it has none of its own (empty, sparse, ...)."""
    plain = tensor.layout is torch.strided and tensor.numel() > 0
    place = tensor.untyped_storage().data_ptr() if plain else 0
    return [place] if place else []
