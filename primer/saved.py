"""Counts the bytes that autograd keeps of a forward pass for its backward.

    with keeping(net.parameters()) as kept:
        loss = net(x).sum()
    kept.bytes                  # each piece of memory once; weights are there anyhow

What is saved is handed on as it is. Hooks inside hide what they see: those of zero3, which note
weights, are heard too, those of checkpointing are not.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.autograd.graph import saved_tensors_hooks

from parallel.zero.passes import Passes


@dataclass(eq=False)
class Kept:
    """Memory that was kept: the bytes of each piece, by its place.

    Known and kept memory is held in life: else its place could be given to something else.
    """

    known: dict[int, torch.UntypedStorage]
    pieces: dict[int, int] = field(default_factory=dict)
    _held: list[torch.UntypedStorage] = field(default_factory=list, repr=False)

    def note(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count a tensor, if its memory was not seen before; return it as it is."""
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in self.known:
            self.pieces[memory.data_ptr()] = memory.nbytes()
            self._held.append(memory)
        return tensor

    @property
    def bytes(self) -> int:
        """Return their sum."""
        return sum(self.pieces.values())


@contextmanager
def keeping(known: Iterable[torch.Tensor]) -> Iterator[Kept]:
    """Count inside the block what backward will read, but for memory that is known."""
    memories = [tensor.untyped_storage() for tensor in known]
    kept = Kept({memory.data_ptr(): memory for memory in memories})
    with saved_tensors_hooks(kept.note, lambda tensor: tensor), _heard(kept):
        yield kept


@contextmanager
def _heard(kept: Kept) -> Iterator[None]:
    """Count what zero3 hands on, too: all but the weights that it gathers again."""
    noted = Passes._noted

    def both(self: Passes, saved: torch.Tensor) -> object:
        found = noted(self, saved)
        return kept.note(found) if isinstance(found, torch.Tensor) else found

    Passes._noted = both
    try:
        yield
    finally:
        Passes._noted = noted
