"""How float32 is multiplied on a card: in full, or in TF32, with ten bits of a fraction.

Torch convolves in TF32 unless it is told not to, and multiplies matrices in full; here both go one
way, the one that a config names, and the record says which.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

WORDS = {False: "in full", True: "TF32"}
_taken: dict[str, str] = {}


@contextmanager
def float32(fast: bool, device: str) -> Iterator[None]:
    """Multiply float32 in TF32 or in full inside the block, and as before after it.

    Args:
        fast: In TF32.
        device: Where; only a card's is changed and told.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    backends: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    _taken["float32"] = WORDS[fast]
    try:
        for backend in backends:
            backend.allow_tf32 = fast
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def taken() -> dict[str, str]:
    """Return how it was since the last call, for a record; nothing without a card."""
    found = dict(_taken)
    _taken.clear()
    return found
