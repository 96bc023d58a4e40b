"""The same net as others would keep it: what gzip, bz2, xz, npz and torch.save make of it.

dense       every weight in float32, one tensor after the other
a byte      which value of its layer's codebook a weight has (0: none), and the rest as halves
floor       entropy: of a place being kept or not, and of the values; without any structure
"""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from compress.file import huffman

PRESSES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "bz2": lambda data: bz2.compress(data, 9),
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
}


class Other(NamedTuple):
    """A way to keep a net, the bytes that it takes, and whether it is a file that was made."""

    name: str
    bytes: int
    file: bool


def others(state: Mapping[str, Any]) -> Iterator[Other]:
    """Yield what the net of this state (dense, its weights share values) takes elsewhere."""
    tensors = {k: x for k, x in state.items() if isinstance(x, torch.Tensor)}
    yield Other("torch.save", len(_saved(tensors)), True)
    yield Other("torch.save, weights as CSR", len(_saved(_rows(tensors))), True)
    single = arrays(state)
    yield Other("npz, compressed", len(_npz(single)), True)
    dense = b"".join(x.tobytes() for x in single.values())
    for name, press in PRESSES.items():
        yield Other(f"{name} of float32", len(press(dense)), True)
    if (numbered := a_byte_each(single)) is not None:
        for name, press in PRESSES.items():
            yield Other(f"{name} of a byte a weight", len(press(numbered)), True)
        yield Other("Huffman as Han counted", -(-sum(c.bits for c in han(single)) // 8), False)
        yield Other("entropy, no structure", floor(single), False)


def arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the tensors of a state as arrays of float32."""
    return {k: x.float().numpy() for k, x in state.items() if isinstance(x, torch.Tensor)}


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _rows(tensors: Mapping[str, torch.Tensor]) -> dict[str, list[torch.Tensor]]:
    """Return weights as the three arrays of compressed sparse rows, with indices of 64 bits."""
    found = {}
    for name, x in tensors.items():
        kept = x.reshape(len(x), -1).nonzero() if x.ndim > 1 else None
        if kept is None:
            found[name] = [x]
            continue
        starts = torch.bincount(kept[:, 0], minlength=len(x)).cumsum(0)
        found[name] = [starts, kept[:, 1].clone(), x[x != 0]]
    return found


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def a_byte_each(arrays: Mapping[str, np.ndarray]) -> bytes | None:
    """Return a byte for each weight, the rest as halves; None where a byte is too little."""
    found = []
    for x in arrays.values():
        if x.ndim < 2:
            found.append(x.astype("<f2").tobytes())
            continue
        book, index = np.unique(np.append(x.ravel(), 0), return_inverse=True)
        if len(book) > 256:
            return None
        zero = index[-1]
        numbers = np.where(index == zero, 0, index + (index < zero)).astype(np.uint8)
        found += [book.astype("<f2").tobytes(), numbers[:-1].tobytes()]
    return b"".join(found)


def han(arrays: Mapping[str, np.ndarray]) -> list[huffman.Count]:
    """Return the count of each layer as Deep Compression makes it; other vectors are biases."""
    counts = []
    for name, x in arrays.items():
        if x.ndim > 1 and x.size:
            layer = name.rpartition(".")[0]
            bias = arrays.get(f"{layer}.bias", np.empty(0))
            counts.append(huffman.count(layer, x, bias.size, x.ndim > 2))
    return counts


def floor(arrays: Mapping[str, np.ndarray]) -> int:
    """Return the entropy of places and values, with codebooks and other numbers as halves."""
    bits = 0.0
    for x in arrays.values():
        if x.ndim < 2 or not x.size:
            bits += 16 * x.size
            continue
        kept = x[x != 0]
        often = np.unique(kept, return_counts=True)[1]
        bits += _entropy(np.array([len(kept), x.size - len(kept)])) + _entropy(often)
        bits += 16 * len(often)
    return int(np.ceil(bits / 8))


def _entropy(counts: np.ndarray) -> float:
    some = counts[counts > 0]
    return float((some * np.log2(some.sum() / some)).sum()) if len(some) else 0.0
