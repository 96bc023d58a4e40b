"""What a saved training was made with, so that its state is not taken on by another one.

A training that goes on with another seed or other samples ends as nobody's members: nothing breaks,
and nothing repeats it. What is compared are plain values; of tensors a checksum.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import torch

from ensemble.fit.task import Task

MOST = 1000  # rows of a tensor that its checksum reads


def settings(task: Task, **more: Any) -> dict[str, str]:
    """Return what a training is made with, in words: of its task, and what else it says itself."""
    named = {name: getattr(task, name) for name in ("epochs", "batch_size", "shuffle", "x", "y")}
    values = {**named, **more}
    return {k: mark(v) if isinstance(v, torch.Tensor) else str(v) for k, v in values.items()}


def mark(values: torch.Tensor) -> str:
    """Return the shape of a tensor with a checksum of up to MOST of its rows, evenly chosen."""
    rows = values.detach()[:: -(-len(values) // MOST) or 1].cpu().contiguous()
    found = zlib.crc32(rows.flatten().view(torch.uint8).numpy())
    return f"{tuple(values.shape)}, checksum {found:08x}"


def refuse_other(state: Any, here: Mapping[str, Any], needs: tuple[str, ...]) -> None:
    """Refuse a state that is none, or that of a training with other settings than these.

    Args:
        state: What `state_dict` gave, with what was set under "settings".
        here: What is set here.
        needs: What such a state has.

    Raises:
        ValueError: names what is not there, or each setting that differs with both values.
    """
    lacks = [name for name in needs if name not in state]
    if lacks:
        raise ValueError(
            f"this is no state of such a training, it lacks {', '.join(lacks)}: give what its "
            "state_dict() returned"
        )
    saved = state.get("settings", here)  # (older states do not say)
    other = [f"{k} {saved[k]} there, {v} here" for k, v in here.items() if saved.get(k) != v]
    if other:
        raise ValueError(
            f"this is the state of another training ({'; '.join(other)}): make this one with the "
            "same, or train it from the start"
        )
