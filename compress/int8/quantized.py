"""A net in int8: the bytes of its file, and what answers by them.

It is made from the very bytes that `save` writes, so what was judged is what is on the disk.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from harness.names import kind_of
from harness.record import store


class Facts(NamedTuple):
    """What a file says of its net: how it was made, one sample's shape, logits of each exit."""

    how: str
    shape: tuple[int, ...]
    classes: tuple[int, ...]
    bits: int
    notes: tuple[str, ...]

    @classmethod
    def read(cls, found: Any) -> "Facts":
        """Return the facts that a file holds.

        Raises:
            ValueError: they are not those of a net in int8.
        """
        try:
            shape, classes = (tuple(int(n) for n in found[key]) for key in ("shape", "classes"))
            notes = tuple(str(note) for note in found["notes"])
            facts = cls(str(found["how"]), shape, classes, int(found["bits"]), notes)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"it does not say what its net is ({error})") from None
        if not facts.classes or min((*facts.shape, *facts.classes)) < 1:
            raise ValueError("it does not say what its net is (no sizes)")
        return facts


class Quantized(nn.Module):
    """Answers logits like the net it was made of, on the CPU, without gradients.

    A NaN in an input is some integer after the first layer: check inputs where that may happen.

    Args:
        content: The bytes of its file.
        facts: What they say of the net.
    """

    def __init__(self, content: bytes, facts: Facts):
        super().__init__()
        self.content, self.facts = content, facts
        self.training = False

    @property
    def bytes(self) -> int:
        """The size of the file that `save` writes."""
        return len(self.content)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of this net."""
        return self.facts.notes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (of the last exit)."""
        return self.forward_exits(x)[-1]

    def forward_exits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of every exit; all of them are computed."""
        self._check(x)
        if not len(x):
            return [x.new_empty(0, classes) for classes in self.facts.classes]
        return self._answer(x.detach())

    def _answer(self, x: torch.Tensor) -> list[torch.Tensor]:
        raise NotImplementedError

    def _check(self, x: torch.Tensor) -> None:
        shape = self.facts.shape
        if not isinstance(x, torch.Tensor):
            raise ValueError(f"expected samples as a tensor, got {kind_of(x)}")
        if tuple(x.shape[1:]) != shape or x.ndim != len(shape) + 1:
            want = ", ".join(map(str, ("samples", *shape)))
            raise ValueError(f"expected a batch ({want}), got {tuple(x.shape)}")
        if x.device.type != "cpu" or x.dtype != torch.float32:
            raise ValueError(f"expected float32 on the CPU, got {x.dtype} on {x.device}")

    def save(self, path: str | Path) -> int:
        """Write the file as a whole or not at all; returns its size."""
        store.write(Path(path), self.content)
        return self.bytes

    def train(self, mode: bool = True) -> "Quantized":
        """Stay in evaluation, whatever is asked for: integers do not learn."""
        return self

    def extra_repr(self) -> str:
        """Return how it was made, its size and its notes, as print(net) shows them."""
        return "; ".join((f"{self.facts.how}, {self.bytes:,} bytes", *self.notes))
