"""A backward pass with other weights than the forward pass.

While the forward pass runs, autograd saves tensors. Those that lie in the memory of a weight are
not kept but noted down, and looked up in other weights when the backward pass asks:

    forward    saved: weight.t() of 0.weight   ──►  note: 0.weight, size, stride, offset
    backward   note                            ──►  the same view of `wanted()["0.weight"]`

So a layer that saves a copy of a weight, or something derived from one, would get it past this:
parallel.pipeline.guard finds such layers beforehand.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

State = dict[str, torch.Tensor]


def memory(w: torch.Tensor) -> tuple[int, int]:
    """Where a tensor's memory begins, and ends."""
    if w.is_contiguous():
        return w.data_ptr(), w.data_ptr() + w.nbytes
    whole = w.untyped_storage()  # (which takes longer to ask)
    return whole.data_ptr(), whole.data_ptr() + whole.nbytes()


class Note(NamedTuple):
    """A view of a weight."""

    name: str
    size: torch.Size
    stride: tuple[int, ...]
    offset: Any  # from the beginning of the weight


class Swap:
    """Hooks for the forward pass of one micro-batch.

    Args:
        leaves: The weights of the forward pass; each has memory of its own.
        wanted: What the backward pass shall see, of the same names and strides; asked when it does.
    """

    def __init__(self, leaves: State, wanted: Callable[[], State]):
        self.wanted = wanted
        self.leaves = leaves
        places = sorted((*memory(w), name) for name, w in leaves.items() if w.numel())
        self.begins, self.ends, self.names = zip(*places, strict=True) if places else ((), (), ())
        self.others: list[torch.Tensor] = []  # what else was saved, while `listening`
        self.listening = False

    def pack(self, saved: torch.Tensor) -> Any:
        """A note, or the tensor itself."""
        if saved.layout is torch.strided:
            begin = saved.data_ptr()
            i = bisect_right(self.begins, begin) - 1  # (most of what is saved lies in no weight)
            if i >= 0 and begin < self.ends[i]:
                leaf = self.leaves[self.names[i]]
                if saved.dtype == leaf.dtype:
                    return self._note(self.names[i], leaf, saved)
        if self.listening:
            self.others.append(saved.detach())
        return saved

    def _note(self, name: str, leaf: torch.Tensor, saved: torch.Tensor) -> Note:
        offset = saved.storage_offset() - leaf.storage_offset()
        return Note(name, saved.size(), saved.stride(), offset)

    def unpack(self, kept: Any) -> torch.Tensor:
        """The same view of the other weights."""
        if type(kept) is not Note:
            return kept
        name, size, stride, offset = kept
        base = self.wanted()[name]
        return base.as_strided(size, stride, base.storage_offset() + offset)

    def hooks(self) -> Any:
        """To run the forward pass in."""
        return torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack)
