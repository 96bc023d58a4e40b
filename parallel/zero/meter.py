"""Counts the bytes that the first worker here holds: of weights, gradients, optimizer's state.

By memory, each once, whoever looks at it: `rest` after a step, `peak` the most at any moment of a
backward or a step. Counters (Adam's number of steps) and what is on its way are not counted.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch

from parallel.replicas.replicas import Stacked
from parallel.strategy.zero import Held, held
from parallel.zero.layout import Part
from parallel.zero.reducer import Reducer
from parallel.zero.slices import Slices


class Meter:
    """What is held at rest, and the most that was held since the first step."""

    def __init__(self, slices: Slices, gradients: Reducer):
        self.slices, self.gradients = slices, gradients
        self.most = self.last = Held(0, 0, 0)
        gradients.looked = self.look

    def look(self) -> Held:
        """Count what is held now."""
        found = Held(self._weights(), self._gradients(), self._optimizer())
        old = asdict(self.most)
        self.most = Held(**{k: max(old[k], v) for k, v in asdict(found).items()})
        return found

    def rest(self) -> None:
        """Count what a worker holds between two steps."""
        self.last = self.look()

    def _pieces(self) -> Iterable[torch.Tensor]:
        return (piece for (i, _), piece in self.slices.pieces.items() if i == 0)

    def _weights(self) -> float:
        names = self.slices.layout.names
        held = [self.slices.leaf(0, name).detach() for name in names]
        held = [w for w in held if w.numel() == 1 or any(w.stride())]  # (others are not there)
        return self._bytes(held) + stored(self._pieces(), held)

    def _gradients(self) -> float:
        leaves = [self.slices.leaf(0, name) for name in self.slices.layout.names]
        whole = [p.grad for p in leaves if p.grad is not None and not self.gradients.marks.on(p)]
        own = [piece.grad for piece in self._pieces() if piece.grad is not None]
        return self._bytes(whole) + stored([*own, *self.gradients.sums()])

    def _optimizer(self) -> float:
        own = ((part, state) for (i, part), state in self.slices.state.items() if i == 0)
        return stored(value for part, state in own for value in follows(part, state))

    def _bytes(self, tensors: list[torch.Tensor]) -> float:
        """Count one worker's part of tensors that may hold all workers."""
        shared = self.slices.members.size if isinstance(self.slices.members, Stacked) else 1
        return stored(tensors) / shared

    def theory(self, stage: int) -> Held:
        """Return what the formula says of a stage; the state's bytes are those that there are."""
        layout, found = self.slices.layout, []
        state: dict[torch.dtype, float] = {}
        for (i, part), own in self.slices.state.items():
            if i == 0 and layout.dtypes[part.name] not in state:
                state[layout.dtypes[part.name]] = sum(v.element_size() for v in follows(part, own))
        for dtype, size in layout.totals.items():
            each = Held(dtype.itemsize, dtype.itemsize, state.get(dtype, 0.0))
            found.append(asdict(held(stage, size, layout.workers, each)))
        return Held(**{k: sum(one[k] for one in found) for k in asdict(self.last)})

    def row(self, stage: int) -> dict[str, Any]:
        """Return what a row says of it, beside the formula."""
        theory = self.theory(stage)
        return {
            "held_rest": asdict(self.last),
            "held_peak": asdict(self.most),
            "held_theory": asdict(theory),
        }


def follows(part: Part, state: dict[str, Any]) -> list[torch.Tensor]:
    """Return what an optimizer keeps of each number of a part (a count of steps is none)."""
    size = part.end - part.begin
    return [value for key, value in state.items() if along(key, value, size)]


def along(key: str, value: Any, size: int) -> bool:
    """Return whether an optimizer keeps this of each of so many numbers, and not of all at once."""
    if not isinstance(value, torch.Tensor) or key == "step":
        return False
    return value.dim() > 0 and value.numel() == size


def stored(tensors: Iterable[torch.Tensor], known: Iterable[torch.Tensor] = ()) -> float:
    """Count the bytes of memory behind tensors, each piece of it once, without what is known."""
    seen = {t.untyped_storage().data_ptr() for t in known}
    found = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return float(sum(n for place, n in found.items() if place not in seen and place))
