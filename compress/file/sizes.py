"""The bytes of a packed net, by layer and by what they are for; they add up to the file.

where       which weights are kept            codebook   the values that they share
values      which value each has              biases     of layers and norms, and statistics
whole       tensors stored bit by bit         header     names, shapes, lengths, the checksum
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.file import container, reading
from compress.file.header import OBJECT, SPARSE, VECTOR, WEIGHT, WHOLE, Entry
from compress.file.numbers import Damaged
from compress.file.tensors import numpy_of

PURPOSES = ("where", "values", "codebook", "biases", "whole", "header")
OF_PARTS = {
    WEIGHT: ("where", "codebook", "values"),
    SPARSE: ("where", "where", "codebook", "values"),
    VECTOR: ("biases",),
    WHOLE: ("whole",),
    OBJECT: ("whole",),
}
FILE = "(file)"


@dataclass
class Layer:
    """The bytes of a layer, by purpose, and its weights."""

    name: str
    weights: int = 0
    kept: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PURPOSES, 0))

    @property
    def total(self) -> int:
        """All its bytes."""
        return sum(self.bytes.values())

    def bits(self, purpose: str) -> float:
        """Return the bits that a kept weight takes for a purpose."""
        return 8 * self.bytes[purpose] / self.kept if self.kept else 0.0


@dataclass(frozen=True)
class Sizes:
    """The layers of a file, its size, and the state in it, sparse layers as dense ones hold it.

    Attributes:
        layers: And a last one for what belongs to none.
        total: Bytes of the file.
        state: What is in it.
        dense: Bytes of the same net in float32, every number that is no integer, however it is
            stored, which ratios refer to; 0 of a file without any.
    """

    layers: tuple[Layer, ...] = field(repr=False)
    total: int
    state: Mapping[str, Any] = field(repr=False)
    dense: int

    def objects(self) -> list[dict[str, Any]]:
        """Return a row for each layer and one for the file."""
        return [_row(layer) for layer in (*self.layers, self.whole())]

    def whole(self) -> Layer:
        """Return the sums over the layers."""
        sums = {p: sum(layer.bytes[p] for layer in self.layers) for p in PURPOSES}
        weights, kept = (sum(getattr(x, n) for x in self.layers) for n in ("weights", "kept"))
        return Layer("all", weights, kept, sums)


def _row(layer: Layer) -> dict[str, Any]:
    bits = {f"{p}_bits": round(layer.bits(p), 3) for p in ("where", "values")}
    head = {"name": layer.name, "weights": layer.weights, "kept": layer.kept}
    return head | layer.bytes | {"bytes": layer.total} | bits


def _floats(entry: Entry) -> bool:
    of_numbers = entry.kind in (WEIGHT, SPARSE, VECTOR, WHOLE)
    return of_numbers and getattr(torch, entry.type).is_floating_point


def sizes(path: str | Path, most: int | None = None) -> Sizes:
    """Return the bytes of a packed net by layer and by purpose.

    Args:
        path: The file.
        most: Bytes that its tensors may take; see unpack.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no packed net, or damaged.
    """
    data = Path(path).read_bytes()
    try:
        content = container.read(data, most)
        state = reading.decode(data, most, dense=True).state
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None
    layers: dict[str, Layer] = {}
    for entry, parts in zip(content.entries, content.parts, strict=True):
        name = entry.name.rpartition(".")[0] or entry.name
        layer = layers.setdefault(name, Layer(name))
        for purpose, part in zip(OF_PARTS.get(entry.kind, ()), parts, strict=True):
            layer.bytes[purpose] += len(part)
        if entry.kind in (WEIGHT, SPARSE):
            layer.weights += state[entry.name].numel()
            layer.kept += int(np.count_nonzero(numpy_of(state[entry.name])))
    used = sum(layer.total for layer in layers.values())
    rest = Layer(FILE, bytes=dict.fromkeys(PURPOSES, 0) | {"header": len(data) - used})
    dense = sum(4 * state[e.name].numel() for e in content.entries if _floats(e))
    return Sizes((*layers.values(), rest), len(data), state, dense)
