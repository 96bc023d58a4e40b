"""The header of a file: of each tensor its kind, type, shape and name, in few bytes.

0.weight 0.bias 2.weight     is written     0 (weight)   (as before)(bias)   2 (weight)
"""

from dataclasses import dataclass
from math import prod

from compress.file.numbers import Damaged, Reader, number

MOST_AXES = 16
# Numbers of kinds, types and words stand in files: only ever added to, at the end.
WEIGHT, SPARSE, VECTOR, WHOLE, ALIAS, NAMED, OBJECT = range(7)
KINDS = ("weight", "sparse weight", "vector", "whole", "alias", "name of a pattern", "object")
PARTS = {WEIGHT: 3, SPARSE: 4, VECTOR: 1, WHOLE: 1, ALIAS: 0, NAMED: 0, OBJECT: 1}
TYPES = (
    *("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"),
    *("bool", "complex64", "complex128"),
)
SIZES = (4, 8, 2, 2, 8, 4, 2, 1, 1, 1, 8, 16)
WORDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "_extra_state")
END = "\n"
TABLE = "uint8"  # the type of a name with which a layer that can move tells its whole table


@dataclass(frozen=True)
class Entry:
    """One tensor of a state: `other` is the entry that an alias or a name belongs to."""

    name: str
    kind: int
    type: str = "float32"
    shape: tuple[int, ...] = ()
    other: int = 0

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes it takes as a tensor."""
        return self.count * SIZES[TYPES.index(self.type)]


def write(entries: tuple[Entry, ...]) -> bytes:
    """Return the header of these tensors, in the order of their state."""
    out, parent, names = number(len(entries)), "", []
    for entry in entries:
        if any(ord(letter) < 32 for letter in entry.name):
            raise ValueError(f"a tensor is called {entry.name!r}; names in a file are of letters")
        out += bytes([entry.kind << 4 | TYPES.index(entry.type)])
        if entry.kind in (ALIAS, NAMED):
            out += number(entry.other)
        else:
            out += number(len(entry.shape)) + b"".join(map(number, entry.shape))
        name, parent = _short(entry.name, parent)
        names.append(name)
    return out + END.join(names).encode()


def _short(name: str, parent: str) -> tuple[str, str]:
    """Return a name with its parent left out where it is that of the name before, and its parent.

    chr(1) stands for "as before", chr(2), chr(3), ... for WORDS.
    """
    mine, dot, last = name.rpartition(".")
    word = chr(2 + WORDS.index(last)) if last in WORDS else last
    return (chr(1) if dot and mine == parent else mine + dot) + word, mine


def _long(name: str, parent: str) -> tuple[str, str]:
    """Undo _short."""
    if name.startswith(chr(1)):
        name = f"{parent}.{name[1:]}"
    if name and 2 <= ord(name[-1]) < 2 + len(WORDS):
        name = name[:-1] + WORDS[ord(name[-1]) - 2]
    return name, name.rpartition(".")[0]


def read(reader: Reader) -> tuple[Entry, ...]:
    """Return the tensors that a header tells of; nothing is allocated for them.

    Raises:
        Damaged: no header.
    """
    count = reader.number(reader.left)
    rows = [_row(reader, i) for i in range(count)]
    try:
        names = reader.take(reader.left).decode().split(END) if count else []
    except UnicodeDecodeError:
        raise Damaged("a name in its header is no text") from None
    if len(names) != count:
        raise Damaged(f"its header has {len(names):,} names for {count:,} tensors")
    found, parent = [], ""
    for short, row in zip(names, rows, strict=True):
        name, parent = _long(short, parent)
        found.append(Entry(name, *row))
    if len({entry.name for entry in found}) != count:
        raise Damaged("two of its tensors have one name")
    return tuple(found)


def _row(reader: Reader, place: int) -> tuple[int, str, tuple[int, ...], int]:
    """Return kind, type, shape and other of an entry."""
    mark = reader.byte((len(PARTS) - 1) << 4 | 15)
    kind, sort = mark >> 4, mark & 15
    if sort >= len(TYPES):
        reader.refuse(f"a type has number {sort} where {len(TYPES) - 1} is the highest")
    if kind in (ALIAS, NAMED):
        if not place:
            reader.refuse("the first tensor is said to belong to one before")
        return kind, TYPES[sort], (), reader.number(place - 1)
    axes = reader.number(MOST_AXES)
    return kind, TYPES[sort], tuple(reader.number() for _ in range(axes)), 0
