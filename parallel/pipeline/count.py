"""How much work calls of layers are, counted: the same number wherever it is counted.

    work = multiplications and additions + 16 for each byte that an operation reads or writes
           + 200,000 for each operation

The first are what torch.utils.flop_counter knows of matrix products, convolutions and attention. A
byte and a call are priced as a core of a CPU and a GPU do: both do 10 to 20 operations while a byte
comes from memory, and about 200,000 while an operation is called. So layers that only pass numbers
on (norms, ReLU, pooling) have their share.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

BYTE, CALL = 16, 200_000


class Work:
    """Counts while it is on."""

    def __init__(self):
        self.flops, self.moved = FlopCounterMode(display=False), Moved()

    def __enter__(self) -> "Work":
        self.flops.__enter__()
        self.moved.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.moved.__exit__(*error)
        self.flops.__exit__(*error)

    @property
    def total(self) -> int:
        """So far."""
        own = BYTE * self.moved.bytes + CALL * self.moved.calls
        return self.flops.get_total_flops() + own


class Moved(TorchDispatchMode):
    """Counts operations that make numbers, and the bytes that they read and write."""

    def __init__(self):
        super().__init__()
        self.bytes, self.calls = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, and count it."""
        found = func(*args, **(kwargs or {}))
        if not getattr(func, "is_view", False):
            self.calls += 1
            self.bytes += sum(t.nbytes for t in tree_leaves((args, kwargs, found)) if _dense(t))
        return found


def _dense(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout is torch.strided
