"""What a checkpoint says of its pattern, so that values never go to other connections."""

from typing import Any

import torch
from torch import nn

from bibd.pattern import Pattern


class Patterned(nn.Module):
    """A module whose values belong to `self.pattern`; its checkpoint says so."""

    pattern: Pattern

    def get_extra_state(self) -> torch.Tensor:
        """SHA-256 and name of the pattern, as bytes: tensors go through every way of saving."""
        text = f"{self.pattern.digest()} {self.pattern}"
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Nothing to take: the check comes before any value is copied."""

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if not refuses(self.pattern, state_dict, prefix, rest[-1]):
            super()._load_from_state_dict(state_dict, prefix, *rest)


def refuses(pattern: Pattern, state: dict[str, Any], prefix: str, errors: list[str]) -> bool:
    """Whether these values are of other connections; says so in `errors`."""
    saved = state.get(f"{prefix}_extra_state")
    if saved is None:
        dense = state.get(f"{prefix}weight")
        if dense is not None and dense.ndim > 1 and len(dense) == pattern.out_features:
            errors.append(
                f"{prefix}weight looks like a dense weight {tuple(dense.shape)}: load it into the "
                'dense model and take bibd.sparsify(model, ..., weights="keep"), or from_dense'
            )
        return False  # values alone; whether that will do is for strict= to say
    try:  # (as floats, if somebody has averaged two state dicts)
        text = bytes(torch.as_tensor(saved).double().round().to(torch.uint8).tolist()).decode()
        digest, name = text.split(" ", 1)
    except (ValueError, TypeError):
        errors.append(f"{prefix}_extra_state is damaged: it should name a pattern")
        return True
    mine = pattern.digest()
    if digest != mine:
        errors.append(
            f"{prefix}weight: these values belong to pattern {name} ({digest[:12]}), this layer "
            f"has {pattern} ({mine[:12]}): build it with that pattern (a model of sparsify: with "
            "the same seed=)"
        )
    return digest != mine
