"""What a file in ONNX holds, and what the same layers would take elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from bibd.onnx.weights import Stored

HEADS = "layer", "weight", "places", "values", "indices", "dense"


@dataclass(frozen=True)
class Report:
    """The files that were written, in bytes, the version of the operators, and the layers.

    `rest` is what is neither a sparse layer's value nor its place: dense layers, biases, nodes.
    """

    files: Mapping[str, int]
    opset: int
    layers: tuple[Stored, ...]

    @property
    def bytes(self) -> int:
        """The bytes of all files."""
        return sum(self.files.values())

    @property
    def values(self) -> int:
        """The bytes of the values of sparse layers."""
        return sum(layer.values for layer in self.layers)

    @property
    def places(self) -> int:
        """The bytes that say where those values stand."""
        return sum(layer.places for layer in self.layers)

    @property
    def rest(self) -> int:
        """The bytes of everything else."""
        return self.bytes - self.values - self.places

    @property
    def dense(self) -> int:
        """What the files would take with dense layers."""
        return self.rest + sum(layer.dense for layer in self.layers)

    def __str__(self):
        rows: list[tuple[str, ...]] = [HEADS]
        for x in self.layers:
            size = " x ".join(map(str, x.shape))
            name = x.name.removeprefix("net.").removesuffix("weight").strip(".") or "(the net)"
            rows.append((name, size, x.how, *map(_bytes, (x.values, x.places, x.dense))))
        rows.append(("rest", "", "", _bytes(self.rest), "", _bytes(self.rest)))
        rows.append(("all", "", "", _bytes(self.bytes - self.places), *self._ends()))
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
        told = [f"{name}: {size:,} bytes" for name, size in self.files.items()]
        head = f"{', '.join(told)}; ONNX, opset {self.opset}; bytes of each part:"
        return "\n".join([head, *(_line(row, widths) for row in rows)])

    def _ends(self) -> tuple[str, str]:
        return _bytes(self.places), _bytes(self.dense)


def _bytes(n: int) -> str:
    return f"{n:,}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    words = [f"{word:<{n}}" for word, n in zip(row[:3], widths, strict=False)]
    numbers = [f"{word:>{n}}" for word, n in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*words, *numbers]).rstrip()
