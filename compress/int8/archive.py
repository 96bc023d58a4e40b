"""The file of a graph: a zip of plain words and raw numbers, whose checksums zip keeps.

facts.json     how the net was made, sizes, notes
graph.json     what is computed (compress.int8.graphs)
names.json     name, type and shape of each tensor
tensors        their bytes, one after the other
"""

import io
import json
import zipfile
import zlib
from math import prod
from typing import Any

import numpy as np
import torch

from compress.file.tensors import bytes_of

WORDS = ("facts", "graph", "names")
TYPES = ("float32", "float64", "int8", "uint8", "int32", "int64", "bool")
DAMAGE = (zipfile.BadZipFile, zlib.error, LookupError, TypeError, ValueError, OSError, EOFError)
DAMAGE += (RuntimeError,)  # (a zip that is encrypted, or of a version to come)
MOST = 200  # times the file that its content may take


def write(facts: Any, graph: Any, tensors: dict[str, torch.Tensor]) -> bytes:
    """Return the bytes of a file."""
    names = [[name, _type(t), list(t.shape)] for name, t in tensors.items()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, value in zip(WORDS, (facts, graph, names), strict=True):
            file.writestr(_entry(f"{name}.json"), json.dumps(value, separators=(",", ":")))
        file.writestr(_entry("tensors"), b"".join(bytes_of(t) for t in tensors.values()))
    return buffer.getvalue()


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # (of 1980: the same net is the same file)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def read(content: bytes) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """Return facts, graph and tensors of a file; nothing in it is run.

    Raises:
        ValueError: it is damaged, or of another kind.
    """
    try:
        return _read(content)
    except DAMAGE as error:
        raise ValueError(f"it is damaged, or no net in int8 ({error})") from None


def _read(content: bytes) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        if sum(entry.file_size for entry in file.infolist()) > MOST * len(content):
            raise ValueError("it claims more than it can hold")
        facts, graph, names = (json.loads(file.read(f"{word}.json")) for word in WORDS)
        return facts, graph, _tensors(names, file.read("tensors"))


def _tensors(names: Any, data: bytes) -> dict[str, torch.Tensor]:
    found, begin = {}, 0
    for name, kind, shape in names:
        if kind not in TYPES:
            raise ValueError(f"tensor {name} of type {kind!r}")
        count, size = prod(shape), np.dtype(kind).itemsize
        values = np.frombuffer(data, kind, count, begin)
        found[name] = torch.from_numpy(values.copy()).reshape(shape)
        begin += count * size
    if begin != len(data):
        raise ValueError(f"{len(data)} bytes of tensors, expected {begin}")
    return found
