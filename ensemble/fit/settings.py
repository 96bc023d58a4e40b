"""What a saved training was made with, so that its state is not taken on by another one.

A training that goes on with another seed or other samples ends as nobody's members: nothing breaks,
and nothing repeats it. What is compared are plain values; of tensors some numbers, within what
another machine may round otherwise as it reads and scales them.
"""

from collections.abc import Mapping
from typing import Any

import torch

from ensemble.fit.task import Task

MOST = 1000  # numbers of a tensor that are compared
NEAR: dict[str, Any] = dict(rtol=1e-4, atol=1e-6)


def settings(task: Task, **more: Any) -> dict[str, Any]:
    """Return what a training is made with: of its task, and what else it says itself."""
    named = {name: getattr(task, name) for name in ("epochs", "batch_size", "shuffle", "x", "y")}
    values = {**named, **more}
    return {k: sketch(v) if isinstance(v, torch.Tensor) else str(v) for k, v in values.items()}


def sketch(values: torch.Tensor) -> torch.Tensor:
    """Return all numbers of a tensor, float64, or MOST of them, always those of the same places."""
    flat = values.detach().flatten()
    if (count := len(flat)) > MOST:
        places = torch.randint(count, (MOST,), generator=torch.Generator().manual_seed(count))
        flat = flat[places.to(flat.device)]
    return flat.double().cpu()


def refuse_other(state: Any, here: Mapping[str, Any], needs: tuple[str, ...]) -> None:
    """Refuse a state that is none, or that of a training with other settings than these.

    Args:
        state: What `state_dict` gave, with what was set under "settings".
        here: What is set here.
        needs: What such a state has.

    Raises:
        ValueError: names what is not there, or each setting that differs with both values.
    """
    if lacks := [name for name in needs if name not in state]:
        raise ValueError(
            f"this is no state of such a training, it lacks {', '.join(lacks)}: give what its "
            "state_dict() returned"
        )
    saved = state.get("settings", here)  # (older states do not say)
    if other := [words for name in here if (words := _differs(name, saved.get(name), here[name]))]:
        raise ValueError(
            f"this is the state of another training ({'; '.join(other)}): make this one with the "
            "same, or train it from the start"
        )


def _differs(name: str, saved: Any, here: Any) -> str:
    """Return in words how two values of a setting differ, or nothing."""
    if not isinstance(saved, torch.Tensor) or not isinstance(here, torch.Tensor):
        plain = saved if isinstance(saved, str) else "other values"
        mine = here if isinstance(here, str) else "other values"
        return "" if plain == mine else f"{name} {plain} there, {mine} here"
    same = saved.shape == here.shape and torch.allclose(saved, here, **NEAR)
    return "" if same else f"{name} has other values"
