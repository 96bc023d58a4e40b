"""From a state to the content of a file, tensor after tensor; compress.file.reading goes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import torch

from bibd.dynamic import text_of_table
from bibd.pattern import Pattern
from compress.file import container, learned, places, tables, tensors
from compress.file.header import ALIAS, NAMED, OBJECT, TABLE, VECTOR, WEIGHT, WHOLE, Entry
from compress.file.places import Table
from compress.file.share import bits_of
from compress.file.states import Part

Bits = int | Mapping[str, int | None] | None
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Options:
    """How a net is packed; see pack."""

    bits: Bits = 4
    whole: Sequence[str] = ()
    supersets: Mapping[str, Pattern] | None = None
    describe: bool = True


def claim(content: container.Content, parts: list[Part]) -> int:
    """Return what the tensors of this very file take, or a table of its sparse layers."""
    tables = [p.pattern.in_features * p.pattern.out_features for p in parts if p.pattern]
    return max(sum(entry.bytes for entry in content.entries), *tables, 0)


def asked(part: Part, options: Options) -> Part:
    """Return the part as the options want it stored."""
    if part.kind not in (WEIGHT, VECTOR):
        return part
    exact = part.kind == VECTOR and bits_of(options.bits, part.layer) is None
    return Part(part.name, WHOLE, part.value) if _whole(part, options) or exact else part


def _whole(part: Part, options: Options) -> bool:
    return any(fnmatchcase(part.layer, key) for key in options.whole)


def is_whole(part: Part) -> bool:
    """Return whether a part is in the file bit by bit and deserves to be named."""
    if part.kind == OBJECT:
        return True
    real_or_complex = part.value.is_floating_point() or part.value.is_complex()
    return part.kind == WHOLE and real_or_complex and part.value.numel() > 0


@dataclass
class Past:
    """What the tensors so far leave to the next: see compress.file.places.Table."""

    before: np.ndarray | None = None
    room: int = field(default_factory=lambda: learned.ROOM)


def encode(parts: Sequence[Part], options: Options) -> container.Content:
    """Return the content of the file for these parts of a state."""
    made: list[tuple[Entry, tuple[bytes, ...]]] = []
    past = Past()
    for part in parts:
        try:
            entry, coded = _encode(part, options, past)
        except ValueError as error:
            raise ValueError(f"{part.name}: {error}") from None
        made.append((entry, coded))
    return container.Content(tuple(e for e, _ in made), tuple(c for _, c in made))


def _encode(part: Part, options: Options, past: Past) -> tuple[Entry, tuple[bytes, ...]]:
    if part.kind in (ALIAS, NAMED):
        table = part.kind == NAMED and bool(text_of_table(part.value))
        return Entry(part.name, part.kind, TABLE if table else "float32", other=part.other), ()
    if part.kind == OBJECT:
        blob = tensors.encode_object(part.value)
        return Entry(part.name, OBJECT, "uint8", (len(blob),)), (tensors.press(blob),)
    kind = str(part.value.dtype).removeprefix("torch.")
    entry = Entry(part.name, part.kind, kind, tuple(part.value.shape))
    if part.kind == WHOLE:
        return entry, (tensors.press(tensors.bytes_of(part.value)),)
    _finite(part.value)
    if part.kind == VECTOR:
        statistic = part.name.rpartition(".")[2] in STATISTICS
        return entry, (tensors.encode_vector(part.value, statistic),)
    return entry, (_weight if part.kind == WEIGHT else _sparse)(part, options, past)


def _finite(value: torch.Tensor) -> None:
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        raise ValueError(
            f"{bad:,} of {value.numel():,} values are NaN or infinite; such a net cannot be packed"
        )


def _weight(part: Part, options: Options, past: Past) -> tuple[bytes, ...]:
    table = tensors.table_of(tuple(part.value.shape), past.before, past.room)
    flat = part.value.reshape(-1)
    kept = flat.nonzero().squeeze(1)
    where = kept.cpu().numpy()
    over = (options.supersets or {}).get(part.layer)
    coded = places.encode(where, table, over)
    past.room -= table.size * (coded[0] == places.LEARNED)
    past.before = np.bincount(where // table.columns, minlength=table.rows)
    return coded, *tensors.encode_values(flat[kept], bits_of(options.bits, part.layer))


def _sparse(part: Part, options: Options, past: Past) -> tuple[bytes, ...]:
    pattern, flat = part.pattern, part.value.reshape(-1)
    assert pattern is not None
    kept = flat.nonzero().squeeze(1)
    some = places.encode(kept.cpu().numpy(), Table(1, len(flat)))
    bits = None if _whole(part, options) else bits_of(options.bits, part.layer)
    coded = tensors.encode_values(flat[kept], bits)
    table, learned_places = tables.encode(pattern, past.before, options.describe, past.room)
    past.room -= learned_places
    past.before = pattern.fan_in
    return table, some, *coded
