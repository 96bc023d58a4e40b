"""A CUDA graph's twin on the CPU: what is called while it records does nothing, until it is replayed.

It writes down each operator with the very tensors that it met. A replay calls the operators again
and puts what they return where it lay: who hands a step another tensor, or another number, than it
had while it was recorded, finds that the replay has not noticed, as on a card.
"""

from contextlib import contextmanager
from typing import ClassVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# A number of the device is asked for, or one of the host is put there: both wait for the device.
WAITING = torch.ops.aten._local_scalar_dense.default, torch.ops.aten.lift_fresh.default


class Tape(TorchDispatchMode):
    """Records operators on the CPU; `made` holds all tapes."""

    made: ClassVar[list["Tape"]] = []

    def __init__(self, device):
        super().__init__()
        self.calls, self.before, self.own = [], {}, set()
        self.records, self.replays, self.warmed = 0, 0, 0
        Tape.made.append(self)

    @contextmanager
    def warm(self):
        """As on a card, a step that goes on as it always does."""
        self.warmed += 1
        yield []

    def record(self, call):
        """Return the result's place and the replay; everything is as it was before the call."""
        drawn, self.records = torch.get_rng_state(), self.records + 1
        self.calls, self.before, self.own = [], {}, set()
        try:
            with self:
                found = call()
        finally:
            torch.set_rng_state(drawn)
            for memory, value in self.before.values():
                memory.copy_(value)
        return found, self.replay

    def replay(self):
        """Call all operators again."""
        self.replays += 1
        with torch.no_grad():
            for func, args, kwargs, places in self.calls:
                again = tree_flatten(func(*args, **kwargs))[0]
                for place, value in zip(places, again, strict=True):
                    if isinstance(place, torch.Tensor) and not same(place, value):
                        place.copy_(value)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITING:
            raise RuntimeError("operation not permitted when stream is capturing")
        for x in tree_flatten((args, kwargs))[0]:
            if isinstance(x, torch.Tensor) and at(x) not in self.own | self.before.keys():
                self.before[at(x)] = x.untyped_storage(), x.untyped_storage().clone()
        found = func(*args, **(kwargs or {}))
        places = tree_flatten(found)[0]
        tensors = [x for x in places if isinstance(x, torch.Tensor)]
        self.own |= {at(x) for x in tensors} - self.before.keys()
        self.calls.append((func, args, kwargs or {}, places))  # (which keeps what is its own)
        return found


def at(x):
    """Where a tensor's memory begins."""
    return x.untyped_storage().data_ptr()


def same(a, b):
    """Whether two tensors are one place."""
    if not isinstance(b, torch.Tensor) or at(a) != at(b):
        return False
    return (a.storage_offset(), a.shape, a.stride()) == (b.storage_offset(), b.shape, b.stride())
