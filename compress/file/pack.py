"""`pack(net, path, bits=4)` makes a small file of a net; `unpack(path)` reads it back, bit for bit.

    packed = pack(net, "net.iddlz", bits=4)
    packed.into(net)                    # a net is judged by the weights that its file holds
    state = unpack("net.iddlz")         # the same, in any process: packed.state, bit for bit
    unpack("net.iddlz", net)            # ... and loads it

Weights share 2^bits values a layer, by k-means; what is zero is not there. Codebooks, biases and
norms are halves. A net whose weights share values already (compress.share, trained and baked) keeps
its own. The file is decoded before it is written: what pack returns has been in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd.pattern import Pattern
from compress.file import container, places, reading, states, tables, tensors
from compress.file.header import ALIAS, NAMED, OBJECT, VECTOR, WEIGHT, WHOLE, Entry
from compress.file.numbers import Damaged
from compress.file.places import Table
from compress.file.share import bits_of
from compress.file.states import Part
from harness.record import store
from harness.record.weights import load_state

Bits = int | Mapping[str, int | None] | None
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Packed:
    """What pack has written.

    Attributes:
        path: The file.
        bytes: Its size.
        state: The state as it is in the file; the net is to be judged by it.
        patterns: Those of sparse layers, by the layers' names.
        whole: Names of floating tensors that are in it bit by bit, as no layer that pack knows has
            them, or as `whole` asked for it.
    """

    path: Path
    bytes: int
    state: Mapping[str, Any]
    patterns: Mapping[str, Pattern]
    whole: tuple[str, ...]

    def into(self, net: nn.Module) -> nn.Module:
        """Give a net the state that is in the file; returns it."""
        load_state(net, dict(self.state), str(self.path))
        return net


@dataclass(frozen=True)
class Options:
    """How a net is packed; see pack."""

    bits: Bits = 4
    whole: Sequence[str] = ()
    supersets: Mapping[str, Pattern] | None = None
    describe: bool = True


def pack(
    net: nn.Module | Mapping[str, Any],
    path: str | Path,
    bits: Bits = 4,
    *,
    whole: Sequence[str] = (),
    supersets: Mapping[str, Pattern] | None = None,
    describe: bool = True,
) -> Packed:
    """Write a net as a small file; a kill leaves the old file.

    Args:
        net: Any net, on any device, or its state_dict() (see compress.file.states).
        path: The file.
        bits: The weights of a layer share 2^bits values (1 to 8); 16: each is a half; None: the
            layer is stored as it is, bit by bit, but for the sign of a zero. Or a mapping of
            layers' names, with * and ?.
        whole: Names of layers that are stored as they are, with * and ?.
        supersets: Patterns by layers' names, of which a layer's weights are a part: only which
            part is stored, if that is shorter.
        describe: Store a pattern as family and seed where it can be.

    Raises:
        ValueError: weights that are not finite, and what cannot be stored; says which tensor.
        OSError: the file could not be written.
    """
    path, options = Path(path), Options(bits, tuple(whole), supersets, describe)
    parts = [_asked(part, options) for part in states.parts(net)]
    content = encode(parts, options)
    data = container.write(content)
    found = reading.decode(data, most=_claim(content, parts))
    store.write(path, data)
    named = tuple(part.name for part in parts if _is_whole(part))
    return Packed(path, len(data), found.state, found.patterns, named)


def unpack(
    path: str | Path, net: nn.Module | None = None, *, most: int | None = None, dense: bool = False
) -> dict[str, Any]:
    """Return the state in a packed file, on the CPU, and load it into a net if one is given.

    Args:
        path: The file.
        net: One of the architecture that was packed, on any device.
        most: Bytes that the tensors may take; None: 10,000 times the file, or as the net's.
        dense: Take the weights of sparse layers as dense layers hold them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is none, damaged, or of another net; the net is as it was.
    """
    path = Path(path)
    data = path.read_bytes()
    if net is not None and most is None:
        most = max(container.allowed(len(data)), 2 * _bytes(net.state_dict()))
    try:
        state = dict(reading.decode(data, most, dense).state)
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None
    if net is not None:
        load_state(net, state, str(path))
    return state


def patterns(path: str | Path, most: int | None = None) -> dict[str, Pattern]:
    """Return the patterns of the sparse layers in a packed file, to make these layers with."""
    try:
        return reading.decode(Path(path).read_bytes(), most).patterns
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None


def _bytes(state: Mapping[str, Any]) -> int:
    return sum(x.nbytes for x in state.values() if isinstance(x, torch.Tensor))


def _claim(content: container.Content, parts: list[Part]) -> int:
    """Return what the tensors of this very file take, or a table of its sparse layers."""
    tables = [p.pattern.in_features * p.pattern.out_features for p in parts if p.pattern]
    return max(sum(entry.bytes for entry in content.entries), *tables, 0)


def _asked(part: Part, options: Options) -> Part:
    """Return the part as the options want it stored."""
    if part.kind not in (WEIGHT, VECTOR):
        return part
    asked = any(fnmatchcase(part.layer, key) for key in options.whole)
    exact = part.kind == VECTOR and bits_of(options.bits, part.layer) is None
    return Part(part.name, WHOLE, part.value) if asked or exact else part


def _is_whole(part: Part) -> bool:
    floating = isinstance(part.value, torch.Tensor) and part.value.is_floating_point()
    return part.kind == OBJECT or (part.kind == WHOLE and floating and part.value.numel() > 0)


def encode(parts: Sequence[Part], options: Options) -> container.Content:
    """Return the content of the file for these parts of a state."""
    made: list[tuple[Entry, tuple[bytes, ...]]] = []
    before: np.ndarray | None = None
    for part in parts:
        try:
            entry, coded, before = _encode(part, options, before)
        except ValueError as error:
            raise ValueError(f"{part.name}: {error}") from None
        made.append((entry, coded))
    return container.Content(tuple(e for e, _ in made), tuple(c for _, c in made))


def _encode(part: Part, options: Options, before):
    if part.kind in (ALIAS, NAMED):
        return Entry(part.name, part.kind, other=part.other), (), before
    if part.kind == OBJECT:
        blob = tensors.encode_object(part.value)
        return Entry(part.name, OBJECT, "uint8", (len(blob),)), (tensors.press(blob),), before
    kind = str(part.value.dtype).removeprefix("torch.")
    entry = Entry(part.name, part.kind, kind, tuple(part.value.shape))
    if part.kind == WHOLE:
        return entry, (tensors.press(tensors.bytes_of(part.value)),), before
    _finite(part.value)
    if part.kind == VECTOR:
        statistic = part.name.rpartition(".")[2] in STATISTICS
        return entry, (tensors.encode_vector(part.value, statistic),), before
    coded, before = (_weight if part.kind == WEIGHT else _sparse)(part, options, before)
    return entry, coded, before


def _finite(value: torch.Tensor) -> None:
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        raise ValueError(
            f"{bad:,} of {value.numel():,} values are NaN or infinite; such a net cannot be packed"
        )


def _weight(part: Part, options: Options, before):
    table = tensors.table_of(tuple(part.value.shape), before)
    flat = part.value.reshape(-1)
    kept = flat.nonzero().squeeze(1)
    where = kept.cpu().numpy()
    over = (options.supersets or {}).get(part.layer)
    coded = places.encode(where, table, over)
    counts = np.bincount(where // table.columns, minlength=table.rows)
    return (coded, *tensors.encode_values(flat[kept], bits_of(options.bits, part.layer))), counts


def _sparse(part: Part, options: Options, before):
    pattern, flat = part.pattern, part.value.reshape(-1)
    assert pattern is not None
    kept = flat.nonzero().squeeze(1)
    some = places.encode(kept.cpu().numpy(), Table(1, len(flat)))
    coded = tensors.encode_values(flat[kept], bits_of(options.bits, part.layer))
    return (tables.encode(pattern, before, options.describe), some, *coded), pattern.fan_in
