"""The table of a sparse layer of bibd in a file: by words where a family and a seed make it.

outputs, inputs of a group; 0: words follow; 1: name, groups, seed, and then its places
"""

import numpy as np

from bibd.pattern import Pattern
from compress.file import described, learned, places
from compress.file.container import check_claim
from compress.file.numbers import Reader, block, number
from compress.file.places import Table

WORDS, PLACES = 0, 1


def encode(
    pattern: Pattern,
    before: np.ndarray | None,
    describe: bool = True,
    room: int = learned.MOST,
) -> tuple[bytes, int]:
    """Return the table of a layer as bytes, and how many of its places are coded by learning.

    Args:
        pattern: The table.
        before: What the layer before keeps.
        describe: Take words where there are any.
        room: How many places may be coded by learning.
    """
    head = number(pattern.out_features) + number(pattern.in_features)
    words = described.describe(pattern) if describe else None
    if words is not None:
        return head + bytes([WORDS]) + words, 0
    label = block(pattern.family.encode()) + number(pattern.groups) + bytes([pattern.counted])
    label += number(0 if pattern.seed is None else pattern.seed + 1)
    table = Table(pattern.out_features, pattern.in_features, 1, before, room)
    code = places.encode(pattern.flat, table)
    return head + bytes([PLACES]) + label + code, table.size * (code[0] == places.LEARNED)


def decode(data: bytes, before: np.ndarray | None, size: int, most: int | None) -> Pattern:
    """Return the pattern.

    Args:
        data: Its bytes.
        before: What the layer before keeps.
        size: Bytes of the whole file, and ...
        most: ... what it may claim.

    Raises:
        ValueError: damaged bytes, a table that is too large, a pattern that comes out otherwise.
    """
    reader = Reader(data)
    outputs, inputs = reader.number(), reader.number()
    check_claim(outputs * inputs, size, most)
    if not outputs * inputs:
        reader.refuse("a layer has no places")
    if reader.byte(PLACES) == WORDS:
        pattern = described.read(reader, (outputs, inputs))
        reader.end()
        return pattern
    family, groups = reader.block().decode(errors="replace"), reader.number(outputs)
    counted, seed = bool(reader.byte(1)), reader.number()
    flat, _ = places.decode(reader.take(reader.left), Table(outputs, inputs, 1, before))
    row, column = np.divmod(flat, inputs)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=outputs))])
    more = seed - 1 if seed else None, max(1, groups), counted
    return Pattern(family, inputs, outputs, indptr, column, *more)
