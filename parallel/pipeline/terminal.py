"""A clock as text: a row for each rank, to the right the time; for terminals and for tests.

    0: F0 F1 .  .  B0--- F2 B1--- .  B2---
    1: .  F0 B0--- F1 B1--- F2 B2--- .  .

A column is the shortest action; longer ones are drawn out with dashes, waiting is dots. Where a
rank has several stages, the stage stands before the letter, as in tables. What takes no time is
left out.
"""

import math

from parallel.pipeline.actions import Action
from parallel.pipeline.clock import Clock

MOST = 2000  # columns; of a longer clock nobody reads the text


def label(clock: Clock, action: Action) -> str:
    """As short as a rank's actions can be told apart."""
    several = clock.table.stages > len(clock.table.ranks)
    name = clock.table.name_of(action)
    return name if several else name[len(str(action.stage)) :]


def grid(clock: Clock, width: int = 0) -> str:
    """The rows, in blocks one below the other where they are wider than `width` letters.

    Args:
        clock: The times.
        width: Of the terminal; 0: everything in one block.

    Raises:
        ValueError: some action is so short that the rows would have more than MOST columns.
    """
    unit = _unit(clock)
    count = _column(clock.makespan, unit)
    if count > MOST:
        raise ValueError(
            f"{count} columns are too many to read: expected at most {MOST} times the shortest "
            "action; draw fewer minibatches, or read Table.text()"
        )
    names = {a: label(clock, a) for row in clock.table.ranks for a in row}
    wide = max(map(len, names.values())) + 1
    rows = [_cells(clock, rank, unit, wide, count) for rank in range(len(clock.table.ranks))]
    head = len(str(len(rows) - 1)) + 2
    most = max(1, (width - head) // wide) if width else count
    most = math.ceil(count / math.ceil(count / most))  # (blocks of one width)
    blocks = ([row[i : i + most] for row in rows] for i in range(0, count, most))
    return "\n\n".join(_block(block, head) for block in blocks)


def _block(rows: list[list[str]], head: int) -> str:
    lines = (f"{rank}: ".rjust(head) + "".join(row) for rank, row in enumerate(rows))
    return "\n".join(line.rstrip() for line in lines)


def _unit(clock: Clock) -> float:
    """The shortest time that an action takes."""
    spans = [e - b for b, e in clock.times.values() if e > b]
    return min(spans, default=1)


def _column(time: float, unit: float) -> int:
    return math.floor(time / unit + 0.5)


def _cells(clock: Clock, rank: int, unit: float, wide: int, count: int) -> list[str]:
    """A text of `wide` letters for each column."""
    cells = [".".ljust(wide)] * count
    for action in clock.table.ranks[rank]:
        first, end = (_column(time, unit) for time in clock.times[action])
        room = (end - first) * wide
        if room:
            text = label(clock, action).ljust(room - 1, "-" if end - first > 1 else " ") + " "
            cells[first:end] = [text[i : i + wide] for i in range(0, room, wide)]
    return cells
