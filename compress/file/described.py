"""A pattern as the words that make it again, and a digest: its indices take no bytes.

    family, seed, count, groups; numpy's version; 8 bytes of SHA-256 of the table

NumPy does not promise that a generator draws the same numbers in later releases (NEP 19): a pattern
that comes out otherwise than its digest says is refused, never used.
"""

import numpy as np

from bibd.pattern import Pattern, make_pattern, without_dead
from compress.file.numbers import Reader, number

# The place in this list is what stands in files: names are only ever added, at the end.
NAMES = (
    *("bibd", "bibd_dual", "cyclic", "tiled", "block_diagonal", "iddl"),
    *("random", "random_fan_in", "random_biregular", "dense"),
)
SEED, COUNT, GROUPS, FED = 1, 2, 4, 8  # (FED: by bibd.pattern.without_dead)
DIGEST = 8
MOST_SEED = (1 << 64) - 1


def describe(pattern: Pattern) -> bytes | None:
    """Return the words of a pattern, or None where no family and seed make it."""
    if pattern.family not in NAMES or (pattern.seed or 0) > MOST_SEED:
        return None
    flags = SEED * (pattern.seed is not None) | COUNT * pattern.counted
    flags |= GROUPS * (pattern.groups > 1)
    for fed in (0, FED):
        words = bytes([NAMES.index(pattern.family), flags | fed]) + _numbers(pattern)
        made = _make(Reader(words), (pattern.out_features, pattern.in_features))
        if made.digest() == pattern.digest():
            return words + _version() + bytes.fromhex(pattern.digest())[:DIGEST]
    return None


def read(reader: Reader, shape: tuple[int, int]) -> Pattern:
    """Make the pattern of these words; `shape` is (outputs, inputs of one group).

    Raises:
        ValueError: words that make no pattern, or another one than when the file was written.
    """
    pattern = _make(reader, shape)
    version, digest = reader.take(2), reader.take(DIGEST)
    mine = bytes.fromhex(pattern.digest())[:DIGEST]
    if digest != mine:
        reader.refuse(
            f"pattern {pattern} comes out otherwise here than where the file was written (digest "
            f"{digest.hex()}, here {mine.hex()}), so its weights belong elsewhere. Read it with "
            f"numpy {version[0]}.{version[1]} (this is numpy {np.__version__}), and pack it there "
            "with describe=False, which stores the places themselves"
        )
    return pattern


def _version() -> bytes:
    return bytes(int(part) for part in np.__version__.split(".")[:2])


def _numbers(pattern: Pattern) -> bytes:
    out = b"" if pattern.seed is None else number(pattern.seed)
    out += number(pattern.nonzeros) if pattern.counted else b""
    return out + (number(pattern.groups) if pattern.groups > 1 else b"")


def _make(reader: Reader, shape: tuple[int, int]) -> Pattern:
    outputs, inputs = shape
    family, flags = NAMES[reader.byte(len(NAMES) - 1)], reader.byte(15)
    seed = reader.number(MOST_SEED) if flags & SEED else None
    count = reader.number(outputs * inputs) if flags & COUNT else None
    groups = reader.number(outputs) if flags & GROUPS else 1
    pattern = make_pattern(family, inputs * groups, outputs, seed, count, groups)
    return without_dead(pattern) if flags & FED else pattern
