"""Keeps the state of a run on disk: written as a whole or not at all, read without running code."""

import io
from pathlib import Path
from typing import Any

from harness.record import store


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state as a whole or not at all."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read tensors and builtin values of a state; returns None where there is none."""
    import torch

    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")  # (each part moves its own)
    except FileNotFoundError:  # another process has just finished that run
        return None
    except Exception as error:
        raise ValueError(
            f"checkpoint {path} is damaged, or none ({_said(error)}): delete it to start over"
        ) from None


def _said(error: Exception) -> str:
    """Return what went wrong, without what torch advises (to read the file without care)."""
    reason = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error)
    return (reason.splitlines() or [type(error).__name__])[0]
