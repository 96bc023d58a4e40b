"""Values stay with their connections: in checkpoints, on other devices, under averages."""

from typing import Any

import torch
from torch import nn

from bibd.kernels import modes
from bibd.kernels.native import KINDS, plain
from bibd.pattern import Pattern

MOST_ROUTES = 1000


class Patterned(nn.Module):
    """A module whose values belong to `self.pattern`; its checkpoint says so.

    `flat` is the index table, a buffer beside `weight`.
    """

    pattern: Pattern
    flat: torch.Tensor
    weight: nn.Parameter
    bias: nn.Parameter | None

    def make_table(self) -> torch.Tensor:
        """The index table, on the CPU."""
        raise NotImplementedError

    def fill(self) -> None:
        """Put the index table beside the values."""
        with torch.inference_mode(False):
            self.flat = self.make_table().to(self.weight.device)
        self._table = self.flat, self.flat._version
        self._routes: dict[tuple, str] = {}

    def _apply(self, fn, recurse=True):
        """Where a module is moved, cast or emptied, its table is made anew."""
        super()._apply(fn, recurse)
        self.fill()
        return self

    def places(self) -> torch.Tensor:
        """The index table; made anew where somebody has written over it.

        (An average of models with use_buffers=True does, and values that come to a meta layer by
        assignment leave it behind. A table that a caller brings along, as torch.func does for a
        stack of layers, is taken as it is.)
        """
        if not torch.compiler.is_compiling() and self.flat is self._table[0] and self._is_stale():
            self.fill()
        return self.flat

    def held(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias, without the detour of nn.Module's attributes where there is none."""
        held = self._parameters
        weight = held.get("weight")
        bias = held["bias"] if "bias" in held else self.bias  # noqa: SIM401 (it may be absent)
        return self.weight if weight is None else weight, bias

    def path(self, x: torch.Tensor) -> str:
        """How this input would be multiplied: dense, bag or native."""
        raise NotImplementedError

    def route(self, x: torch.Tensor) -> str:
        """path(x), remembered for calls of this kind; "traced": native, while something watches."""
        if not isinstance(x, torch.Tensor) or not modes.quiet():
            path = self.path(x)
            return "traced" if path == "native" else path
        grad = torch.is_grad_enabled()
        kind = x.shape, x.dtype, grad, torch.get_num_threads(), self.backend
        brought = self._buffers["flat"] is not self._table[0]  # by a caller, as torch.func does
        own = not brought and x.is_cpu and x.layout is torch.strided and type(x) in KINDS
        found = self._routes.get(kind) if own else None
        if found is None:
            found = self.path(x)
            if found == "native" and (brought or not plain(x, *self.held())):
                return "traced"  # with that table; or for its operators to compute or refuse
            if found == "bag" and brought:
                return "dense"
            if own:
                if len(self._routes) >= MOST_ROUTES:  # (sentences of every length)
                    self._routes.clear()
                self._routes[kind] = found
        return found

    def _is_stale(self) -> bool:
        table, version = self._table
        if not isinstance(self.weight, torch.Tensor):
            return False  # torch.fx follows with a stand-in
        return table._version != version or table.device != self.weight.device

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
