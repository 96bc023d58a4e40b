"""Masks as plain data: the name of a weight and which of its values stay, as booleans.

layer    kept      of  density
fc1    18,816  235,200    8.0%
fc2     2,700   30,000    9.0%
all    21,516  265,200    8.1%
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from compress.pruning.layers import layer_of, refuse_computed
from harness.names import kind_of, unknown
from harness.record.checkpoint import load_checkpoint, save_checkpoint

FORMAT = "iddl masks 1"


class Masks(dict[str, torch.Tensor]):
    """A dict from the name of a parameter to a boolean tensor of its shape; prints as a table.

    Args:
        masks: The booleans, True where a weight stays.
        notes: What the reader of the table has to know.
    """

    def __init__(self, masks: Mapping[str, torch.Tensor], notes: Iterable[str] = ()):
        super().__init__({name: _boolean(name, mask) for name, mask in masks.items()})
        self.notes = tuple(notes)

    @property
    def kept(self) -> int:
        """How many weights stay."""
        return sum(self.counts.values())

    @property
    def of(self) -> int:
        """How many weights there are in the masked layers."""
        return sum(mask.numel() for mask in self.values())

    @property
    def density(self) -> float:
        """The share that stays."""
        return self.kept / self.of

    @property
    def counts(self) -> dict[str, int]:
        """How many weights stay in each layer."""
        return {name: int(mask.sum()) for name, mask in self.items()}

    def save(self, path: str | Path) -> None:
        """Write them to a file, as a whole or not at all."""
        masks = {name: mask.cpu() for name, mask in self.items()}
        save_checkpoint(Path(path), {"format": FORMAT, "masks": masks, "notes": list(self.notes)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; nothing but tensors and plain values is read.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged file, or one that holds no masks.
        """
        found = load_checkpoint(Path(path))
        if found is None:
            raise FileNotFoundError(f"no masks at {path}: masks.save({str(path)!r}) writes them")
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"{path} holds no masks (no format {FORMAT!r}): made by masks.save?")
        return cls(found["masks"], found["notes"])

    def to(self, device: torch.device | str) -> Self:
        """Return them on another device."""
        return type(self)({n: mask.to(device) for n, mask in self.items()}, self.notes)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [("layer", "kept", "of", "density")]
        for name, mask in self.items():
            rows.append(_row(layer_of(name) or "net", self.counts[name], mask.numel()))
        rows.append(_row("all", self.kept, self.of))
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        table = [
            "  ".join(
                [
                    row[0].ljust(wide[0]),
                    *(c.rjust(w) for c, w in zip(row[1:], wide[1:], strict=False)),
                ]
            )
            for row in rows
        ]
        return "\n".join([*table, *self.notes])


def _row(name: str, kept: int, of: int) -> tuple[str, str, str, str]:
    return name, f"{kept:,}", f"{of:,}", f"{kept / max(1, of):.1%}"


def _boolean(name: str, mask: Any) -> torch.Tensor:
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, torch.Tensor) else kind_of(mask)
        raise ValueError(f"mask {name!r} is a tensor of booleans, got {got}: (weight != 0) is one")
    return mask


def all_kept(weights: Mapping[str, torch.Tensor]) -> Masks:
    """Return masks that keep everything."""
    return Masks({name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()})


def parameters(net: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, nn.Parameter]:
    """Return the parameters that masks belong to.

    Raises:
        ValueError: a name that the net has not, another shape, no booleans.
    """
    own = dict(net.named_parameters())
    if not masks:
        raise ValueError("no masks: there is nothing to keep zero; compress.prune makes some")
    for name, mask in masks.items():
        if name not in own:
            _refuse_computed(net, name)
            raise unknown("masked weight", name, own)
        if _boolean(name, mask).shape != own[name].shape:
            raise ValueError(
                f"the mask of {name} has shape {tuple(mask.shape)}, the weight "
                f"{tuple(own[name].shape)}: masks belong to the net that they were made of"
            )
    return {name: own[name] for name in masks}


def _refuse_computed(net: nn.Module, name: str) -> None:
    layer = dict(net.named_modules()).get(layer_of(name))
    if layer is not None:
        refuse_computed(layer_of(name) or "the net", layer)


@torch.no_grad()
def zero(weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor]) -> None:
    """Set the weights that are masked out to zero, also where they are NaN."""
    for name, weight in weights.items():
        weight.masked_fill_(~masks[name].to(weight.device), 0)
