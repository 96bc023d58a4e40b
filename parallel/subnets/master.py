"""The full net of a subnet training, on rank 0, and which neurons every worker has.

draw(seed, step)      a new random partition, the same on every rank
pieces(worker, like)  what a worker gets;  merge(got, counts): what comes of what all give back
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from parallel.replicas.replicas import float_buffers
from parallel.strategy.base import random
from parallel.subnets.cutting import Parts, chain, partition
from parallel.subnets.slices import Tensors, merge, pieces
from parallel.world.comm import nbytes


class Master:
    """The values by name (current on rank 0 only), and this round's parts (on every rank)."""

    def __init__(self, model: nn.Module, workers: int, seed: int):
        self.whole, self.workers = copy.deepcopy(model), workers
        self.chain = chain(self.whole)
        self.values: Tensors = {}
        self.parts: list[Parts] = []
        self.untouched: dict[str, float] = {}  # an optimizer's state of what nobody has stepped
        self._take_whole()
        self.draw(seed, 1)

    def _take_whole(self) -> None:
        full = dict(self.whole.named_parameters()) | float_buffers(self.whole)
        self.values |= {k: v.detach().clone() for k, v in full.items()}

    def draw(self, seed: int, step: int) -> None:
        """Draw who has which neurons from this step on."""
        self.parts = partition(self.chain.widths, self.workers, random(seed, step))
        # Bytes of the pieces that leave rank 0, by their shapes alone.
        shapes = {k: v.to("meta") for k, v in self.values.items()}
        self.due = sum(nbytes(pieces(shapes, self.chain, p)) for p in self.parts[1:])

    def size(self, sends: str) -> float:
        """Return the bytes of one deal."""
        return self.due

    def pieces(self, worker: int, like: Tensors) -> Tensors:
        """Return what a worker gets of what it keeps.

        (An optimizer has no state before its step.)
        """
        held = {k: v for k, v in self.values.items() if k in like}
        return pieces(held, self.chain, self.parts[worker])

    def shapes(self, worker: int, like: Tensors) -> Tensors:
        """Return tensors of the sizes that this worker gives back."""
        held = {k: self.values.get(k, self.values[k.split("/")[0]]) for k in like}
        return pieces(held, self.chain, self.parts[worker])

    def merge(self, got: Sequence[Tensors], counts: Sequence[float]) -> Tensors:
        """Return all values, with the pieces that all workers gave back in their places."""
        return merge(self.values, self.chain, self.parts, got, counts, self.untouched)

    def load(self, state: dict[str, Any]) -> None:
        """Begin anew from a full model's state."""
        self.whole.load_state_dict(state)
        self._take_whole()

    def move(self, fn: Callable[[torch.Tensor], Any]) -> None:
        """Apply to the master what the workers' own tensors went through."""
        self.whole._apply(fn)
        self.values = {k: fn(v) for k, v in self.values.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the values, and who has what."""
        return {"master": self.values, "parts": self.parts, "due": self.due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict gave."""
        self.values, self.parts, self.due = state["master"], state["parts"], state["due"]
