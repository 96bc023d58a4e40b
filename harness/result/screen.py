"""Shows a table on a screen of any width: nothing is cut and nothing is left out.

The first of these that fits is taken:

    boxed               │ model │ connections │          heads as they are
    boxed, heads in words over several lines
    open                model  connections                two spaces between columns, no lines
    open, short heads   model  conn.
    blocks              the columns in groups below each other, each with the first column
    cards               a row is its first cell and then one line for each other one

Columns of words (`prose`) are wrapped between words; every other cell stays on one line.
"""

import os
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

LOG_WIDTH = 140  # of what is no terminal: a file has no edge, but a reader's window has
PROSE = 24  # letters that a column of words has at least
SHORT = {
    "connections": "conn.",
    "parameters": "params",
    "inference": "infer",
    "training": "train",
    "FlopCounterMode": "torch",
    "estimate": "time",
}
Rows = Sequence[Sequence[str]]


def show(title: str, heads: Sequence[str], rows: Rows, prose: Sequence[str] = ()) -> None:
    """Print a table; `prose` are the heads of columns whose words may be wrapped."""
    console = Console()
    console.width = width_of(console)
    console.print(Text(title, style="italic"))
    for i, part in enumerate(layout(heads, rows, console.width, prose)):
        cards = isinstance(part, Text)
        if i and not cards:
            console.print()
        console.print(part, soft_wrap=cards)


def width_of(console: Console) -> int:
    """Return the columns of the terminal, or those that COLUMNS asks for, or those of a log."""
    told = os.environ.get("COLUMNS", "").isdigit()
    return max(20, console.width) if console.is_terminal or told else LOG_WIDTH


def layout(heads: Sequence[str], rows: Rows, width: int, prose: Sequence[str] = ()) -> list[Any]:
    """Return the parts that are to be printed: one table, several tables, or cards."""
    short = [" ".join(SHORT.get(word, word) for word in head.split(" ")) for head in heads]
    for box, names in ((HEAVY_HEAD, heads), (SIMPLE_HEAD, heads), (SIMPLE_HEAD, short)):
        widths = _widths(names, rows, width - _edges(box, len(heads)), _places(heads, prose))
        if widths:
            return [_table(box, names, rows, widths, _places(heads, prose))]
    groups = [] if prose else _groups(short, rows, width)
    if not groups:
        return list(_cards(short, rows, width))
    return [_block([0, *group], short, rows, width) for group in groups]


def _places(heads: Sequence[str], prose: Sequence[str]) -> set[int]:
    return {i for i, head in enumerate(heads) if head in prose}


def _edges(box: Box, columns: int) -> int:
    """Return how many letters of a line belong to the borders and to no cell."""
    return 3 * columns + 1 if box is HEAVY_HEAD else 2 * (columns - 1)


def _widths(heads: Sequence[str], rows: Rows, room: int, prose: set[int]) -> list[int]:
    """Return the width of each column, words widened first; empty if they do not fit."""
    columns = zip(heads, *rows, strict=True)
    least, most = [], []
    for i, (head, *cells) in enumerate(columns):
        wide = max(map(cell_len, cells), default=0)
        loose = (head, *cells) if i in prose else (head,)
        words = [cell_len(word) for cell in loose for word in cell.split()]
        most.append(max(wide, cell_len(head)))
        least.append(max([min(PROSE, wide) if i in prose else wide, *words]))
    left = room - sum(least)
    if left < 0:
        return []
    for i in sorted(range(len(least)), key=lambda i: i not in prose):
        more = min(left, most[i] - least[i])
        least[i], left = least[i] + more, left - more
    return least


def _table(
    box: Box, heads: Sequence[str], rows: Rows, widths: Sequence[int], prose: set[int]
) -> Table:
    open_: Any = dict(show_edge=False, pad_edge=False, collapse_padding=True)
    table = Table(box=box, **({} if box is HEAVY_HEAD else open_))
    for i, (head, width) in enumerate(zip(heads, widths, strict=True)):
        side: Any = "left" if i == 0 or i in prose else "right"
        table.add_column(_wrapped(head, width), justify=side, width=width, no_wrap=True)
    for row in rows:
        table.add_row(*map(_wrapped, row, widths))
    return table


def _wrapped(cell: str, width: int) -> Text:
    """Wrap a text between words only, and never inside what has no space."""
    return Text("\n".join(_lines(cell, width)) if cell_len(cell) > width else cell)


def _lines(text: str, width: int, indent: str = "") -> list[str]:
    whole: Any = dict(break_long_words=False, break_on_hyphens=False)
    return textwrap.wrap(text, max(1, width), subsequent_indent=indent, **whole)


def _groups(heads: Sequence[str], rows: Rows, width: int) -> list[list[int]]:
    """Split the columns into groups that fit beside the first; empty if one does not fit."""
    found: list[list[int]] = [[]]
    for i in range(1, len(heads)):
        if not _fits([0, *found[-1], i], heads, rows, width):
            found.append([])
        if not _fits([0, *found[-1], i], heads, rows, width):
            return []
        found[-1].append(i)
    return found


def _fits(columns: Sequence[int], heads: Sequence[str], rows: Rows, width: int) -> bool:
    room = width - _edges(SIMPLE_HEAD, len(columns))
    return bool(_widths(*_some(columns, heads, rows), room, set()))


def _block(columns: Sequence[int], heads: Sequence[str], rows: Rows, width: int) -> Table:
    room = width - _edges(SIMPLE_HEAD, len(columns))
    some = _some(columns, heads, rows)
    return _table(SIMPLE_HEAD, *some, _widths(*some, room, set()), set())


def _some(columns: Sequence[int], heads: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    return [heads[i] for i in columns], [[row[i] for i in columns] for row in rows]


def _cards(heads: Sequence[str], rows: Rows, width: int) -> Iterator[Text]:
    """Yield each row as a card; a cell stays on one line wherever a line has room for it."""
    for first, *rest in rows:
        lines = [first]
        for head, cell in zip(heads[1:], rest, strict=True):
            kept = cell if cell_len(cell) > width - 4 else cell.replace(" ", "\u00a0")
            text = f"  {head}: {kept}" if head else f"  {kept}"
            lines += [line.replace("\u00a0", " ") for line in _lines(text, width, " " * 4)]
        yield Text("\n".join(lines))
