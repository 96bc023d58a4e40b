"""Where the weights of a layer are: a table (rows, columns) in the fewest bytes.

0 all        every place
1 described  those of a pattern that words make again (compress.file.described)
2 within     some of those of such a pattern
3 gaps       between one kept place and the next, row after row, by a table of their own
4 rows       how many each row keeps, and gaps within it
5 classes    the same with a table for each class of rows that keep about as many
6 flags      a bit a place
7 learned    by what the rows before have shown (compress.file.learned)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bibd.pattern import Pattern
from compress.file import described, gaps, learned, symbols
from compress.file.numbers import Reader, block, number

ALL, DESCRIBED, WITHIN, GAPS, ROWS, CLASSES, FLAGS, LEARNED = range(8)
WORTH = 64  # learning is slower: it is taken where it saves more than a 64th
NAMES = ("all", "described", "within", "gaps", "rows", "classes", "flags", "learned")


@dataclass(frozen=True)
class Table:
    """What both sides know of a table before it is read.

    Args:
        rows: Outputs.
        columns: Inputs, times the taps of each.
        taps: Columns that belong to one input: the size of a convolution's window.
        before: How many weights the layer before keeps for each of its outputs.
        room: How many places may be coded by learning, which takes time; for the coder alone.
    """

    rows: int
    columns: int
    taps: int = 1
    before: np.ndarray | None = None
    room: int = learned.MOST

    @property
    def size(self) -> int:
        """How many places there are."""
        return self.rows * self.columns

    @property
    def hint(self) -> np.ndarray | None:
        """What the layer before keeps, for each column; None where the sizes do not fit."""
        if self.before is None or not len(self.before) or self.columns % len(self.before):
            return None
        return np.repeat(self.before, self.columns // len(self.before))


def encode(flat: np.ndarray, table: Table, pattern: Pattern | None = None) -> bytes:
    """Code ascending places of the row-major table; the first byte says how.

    Args:
        flat: The places that are kept.
        table: What the decoder knows.
        pattern: One that has all of them, and perhaps more.
    """
    if len(flat) == table.size:
        return bytes([ALL])
    found = list(ways(np.asarray(flat, dtype=np.int64), table, pattern))
    short = min((code for code in found if code[0] != LEARNED), key=len)
    slow = min((code for code in found if code[0] == LEARNED), key=len, default=short)
    return slow if len(slow) < len(short) - len(short) // WORTH else short


def ways(flat: np.ndarray, table: Table, pattern: Pattern | None) -> Iterator[bytes]:
    """Yield every way to code the places of a table that is not full."""
    words = None if pattern is None else described.describe(pattern)
    if pattern is not None and words is not None:
        yield from _by_words(flat, table, pattern, words)
    yield bytes([GAPS]) + number(len(flat)) + gaps.encode(np.diff(flat, prepend=-1) - 1)
    if table.rows > 1:
        yield from _by_rows(flat, table)
    kept = np.zeros(table.size, dtype=bool)
    kept[flat] = True
    yield bytes([FLAGS]) + symbols.encode(kept, 1)
    if table.size <= min(table.room, learned.MOST) and table.rows > 1:
        yield from _by_learning(kept.reshape(table.rows, table.columns), table)


def _by_words(flat: np.ndarray, table: Table, pattern: Pattern, words: bytes) -> Iterator[bytes]:
    place = np.searchsorted(over := whole(pattern, table.taps), flat)
    if not np.array_equal(over[np.minimum(place, len(over) - 1)], flat):
        return  # (it keeps a place that the pattern has not)
    if len(flat) == len(over):
        yield bytes([DESCRIBED]) + words
    else:
        yield bytes([WITHIN]) + block(words) + encode(place, Table(1, len(over)))


def whole(pattern: Pattern, taps: int) -> np.ndarray:
    """Return the places of a pattern between channels, all taps of each window."""
    return (pattern.flat[:, None] * taps + np.arange(taps)).ravel()


def _by_rows(flat: np.ndarray, table: Table) -> Iterator[bytes]:
    row, column = np.divmod(flat, table.columns)
    counts = np.bincount(row, minlength=table.rows)
    first = np.diff(row, prepend=-1) > 0
    gap = np.where(first, column, np.diff(column, prepend=0) - 1)
    head = block(gaps.encode(counts))
    yield bytes([ROWS]) + head + gaps.encode(gap)
    kind = _class(counts)[row]
    parts = (block(gaps.encode(gap[kind == k])) for k in np.unique(kind))
    yield bytes([CLASSES]) + head + b"".join(parts)


def _class(counts: np.ndarray) -> np.ndarray:
    """Return the class of each row: how many binary digits its count has."""
    return np.frexp(counts.astype(np.float64))[1]


def _by_learning(kept: np.ndarray, table: Table) -> Iterator[bytes]:
    for hint in (None,) if table.hint is None else (None, table.hint):
        for period in learned.periods(table.columns, table.taps):
            head = bytes([LEARNED, hint is not None]) + number(int(kept.sum())) + number(period)
            yield head + learned.encode(kept, period, hint)


def decode(data: bytes, table: Table) -> tuple[np.ndarray, Pattern | None]:
    """Return the kept places, and the pattern that words have made; the caller has bounded `table`.

    Raises:
        ValueError: a stream that is damaged, or a pattern that comes out otherwise here.
    """
    reader = Reader(data)
    way = reader.byte(LEARNED)
    if way in (DESCRIBED, WITHIN):
        return _of_words(reader, table, way == WITHIN)
    if way == ALL:
        reader.end()
        return np.arange(table.size), None
    read = {GAPS: _of_gaps, ROWS: _of_rows, CLASSES: _of_rows, FLAGS: _of_flags}
    if way == LEARNED:
        return _of_learning(reader, table), None
    return read[way](reader, table, way == CLASSES), None


def _of_words(reader: Reader, table: Table, some: bool) -> tuple[np.ndarray, Pattern]:
    words = Reader(reader.block()) if some else reader
    pattern = described.read(words, (table.rows, table.columns // table.taps))
    words.end()
    over = whole(pattern, table.taps)
    if not some:
        return over, pattern
    place, _ = decode(reader.take(reader.left), Table(1, len(over)))
    return over[place], pattern


def _of_gaps(reader: Reader, table: Table, _: bool) -> np.ndarray:
    count = reader.number(table.size)
    gap = gaps.decode(reader.take(reader.left), count)
    flat = np.cumsum(np.minimum(gap, table.size) + 1) - 1
    if count and flat[-1] >= table.size:
        reader.refuse(f"a weight is at place {flat[-1]:,} of a table of {table.size:,}")
    return flat


def _of_rows(reader: Reader, table: Table, classes: bool) -> np.ndarray:
    counts = gaps.decode(reader.block(), table.rows)
    if counts.max(initial=0) > table.columns:
        reader.refuse(f"a row of {table.columns:,} places cannot keep {counts.max():,}")
    row, kind = np.repeat(np.arange(table.rows), counts), np.repeat(_class(counts), counts)
    gap = np.zeros(len(row), dtype=np.int64)
    if classes:
        for k in np.unique(kind):
            gap[kind == k] = gaps.decode(reader.block(), int((kind == k).sum()))
        reader.end()
    else:
        gap[:] = gaps.decode(reader.take(reader.left), len(row))
    step = np.cumsum(np.minimum(gap, table.columns) + 1)
    before = np.concatenate([[0], step])[np.cumsum(counts) - counts]
    column = step - before[row] - 1
    if column.max(initial=0) >= table.columns:
        reader.refuse(f"a weight is in column {column.max():,} of {table.columns:,}")
    return row * table.columns + column


def _of_flags(reader: Reader, table: Table, _: bool) -> np.ndarray:
    return np.flatnonzero(symbols.decode(reader.take(reader.left), 1, table.size))


def _of_learning(reader: Reader, table: Table) -> np.ndarray:
    hinted, count = reader.byte(1), reader.number(table.size)
    period = reader.number(table.columns)
    hint = table.hint if hinted else None
    if table.size > learned.MOST or (hinted and hint is None):
        reader.refuse(f"a table of {table.rows:,} by {table.columns:,} is not coded by learning")
    code = reader.take(reader.left)
    kept = learned.decode(code, (table.rows, table.columns), count, period, hint)
    return np.flatnonzero(kept)
