"""From a file to a state, tensor after tensor: what pack, unpack and sizes share.

A weight's places may be coded by what the weight before it keeps, so tensors are read in order.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch

from bibd.dynamic import with_table
from bibd.moved import FAMILY
from bibd.pattern import Pattern
from compress.file import container, places, tables, tensors
from compress.file.header import ALIAS, NAMED, OBJECT, SPARSE, TABLE, VECTOR, WEIGHT, Entry
from compress.file.numbers import Damaged
from compress.file.places import Table


@dataclass
class Decoded:
    """A state as it comes out of a file.

    Attributes:
        state: Tensors by name, on the CPU, as load_state_dict takes them.
        patterns: Those of sparse layers, by the layers' names; the layers are made with them.
    """

    state: "OrderedDict[str, Any]" = field(default_factory=OrderedDict)
    patterns: dict[str, Pattern] = field(default_factory=dict)
    before: np.ndarray | None = None  # how many weights each output of the last weight keeps


def decode(data: bytes, most: int | None = None, dense: bool = False) -> Decoded:
    """Return the state in a file's bytes.

    Args:
        data: The file.
        most: Bytes that its tensors may take; see container.read.
        dense: Return the weights of sparse layers as nn.Linear and nn.Conv2d hold them.

    Raises:
        ValueError: says which tensor is wrong in what way.
    """
    content = container.read(data, most)
    found, made = Decoded(), []
    for entry, parts in zip(content.entries, content.parts, strict=True):
        try:
            made.append(_tensor(entry, parts, found, made, content, len(data), most))
        except ValueError as error:
            raise Damaged(f"tensor {entry.name}: {error}") from None
        found.state[entry.name] = made[-1]
    if dense:
        _spread(found, content, len(data), most)
    return found


def _tensor(entry: Entry, parts, found: Decoded, made: list, content, size: int, most) -> Any:
    if entry.kind == WEIGHT:
        return _weight(entry, parts, found)
    if entry.kind == SPARSE:
        return _sparse(entry, parts, found, size, most)
    if entry.kind == VECTOR:
        return tensors.decode_vector(parts[0], entry)
    if entry.kind == ALIAS:
        return made[entry.other]
    if entry.kind == NAMED:
        return _name(entry.type == TABLE, content.entries[entry.other], found)
    if entry.kind == OBJECT:
        return tensors.decode_object(tensors.unpress(parts[0], entry.bytes))
    return tensors.of_bytes(tensors.unpress(parts[0], entry.bytes), entry.type, entry.shape)


def _weight(entry: Entry, parts: tuple[bytes, ...], found: Decoded) -> torch.Tensor:
    table = tensors.table_of(entry.shape, found.before)
    flat, _ = places.decode(parts[0], table)
    found.before = np.bincount(flat // table.columns, minlength=table.rows)
    kept = tensors.decode_values(parts[1], parts[2], entry.type, len(flat))
    return tensors.scatter(entry, flat, kept)


def _sparse(entry: Entry, parts, found: Decoded, size: int, most) -> torch.Tensor:
    pattern = tables.decode(parts[0], found.before, size, most)
    if not entry.shape or entry.shape[0] != pattern.nonzeros:
        raise Damaged(f"{pattern} has {pattern.nonzeros:,} connections, not shape {entry.shape}")
    found.before = pattern.fan_in
    found.patterns[entry.name.rpartition(".")[0]] = pattern
    if not entry.count:  # (a layer that was left without connections)
        return torch.empty(entry.shape, dtype=getattr(torch, entry.type))
    flat, _ = places.decode(parts[1], Table(1, entry.count))
    kept = tensors.decode_values(parts[2], parts[3], entry.type, len(flat))
    return tensors.scatter(entry, flat, kept)


def _name(table: bool, weight: Entry, found: Decoded) -> torch.Tensor:
    """Return what get_extra_state returns, of a dynamic layer with its table."""
    pattern = found.patterns.get(weight.name.rpartition(".")[0])
    if weight.kind != SPARSE or pattern is None:
        raise Damaged(f"{weight.name} has no pattern to be named")
    told = torch.tensor(list(f"{pattern.digest()} {pattern}".encode()), dtype=torch.uint8)
    return with_table(told, pattern) if table or pattern.family == FAMILY else told


def _spread(found: Decoded, content: container.Content, size: int, most) -> None:
    """Put the weights of sparse layers into dense ones, and leave the names of patterns out."""
    for entry in content.entries:
        if entry.kind == NAMED:
            del found.state[entry.name]
        if entry.kind == SPARSE:
            pattern = found.patterns[entry.name.rpartition(".")[0]]
            window, values = entry.shape[1:], found.state[entry.name]
            places = pattern.out_features * pattern.in_features
            container.check_claim(places * prod(window) * values.element_size(), size, most)
            whole = values.new_zeros(places, *window)
            whole[torch.from_numpy(pattern.flat)] = values
            shape = pattern.out_features, pattern.in_features, *window
            found.state[entry.name] = whole.reshape(shape)
