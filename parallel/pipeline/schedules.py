"""Schedules: pure functions from sizes to a table.

    naive        one micro-batch at a time           gpipe      all forwards, then all backwards
    1f1b         in turn after a warm-up             interleaved   1f1b with several stages a rank
    zb_h1        I in place of B, W fills gaps       zbv        two stages a rank, there and back
    async_1f1b   1f1b that is never flushed

All but the last flush: a stage updates once at the end of each minibatch, before anything of the
next. In async_1f1b a stage updates as soon as it has the gradient of a minibatch: with micro = 1
this is PipeDream's table, with micro >= stages - 1 that of 2BW. `schedule(name, ...)` finds them.
"""

from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from typing import Any

from harness.names import check, unknown
from parallel.pipeline import rounds
from parallel.pipeline.actions import Action, Table
from parallel.pipeline.rounds import Step, sizes


def naive(stages: int, minibatches: int = 1, micro: int = 1) -> Table:
    """A micro-batch goes through all stages and back before the next one starts."""
    row = [(op, j) for j in range(micro) for op in "FB"]
    return _flushed("naive", _alike(stages, row), stages, minibatches, micro)


def gpipe(stages: int, minibatches: int = 1, micro: int = 1) -> Table:
    """All forwards of a minibatch, then all its backwards."""
    row = [(op, j) for op in "FB" for j in range(micro)]
    return _flushed("gpipe", _alike(stages, row), stages, minibatches, micro)


def one_f_one_b(stages: int, minibatches: int = 1, micro: int = 1) -> Table:
    """One forward and one backward in turn, after stages - 1 - k forwards of stage k."""
    rows = [[(k, op, j) for op, j in rounds.in_turn(micro, stages - 1 - k)] for k in range(stages)]
    return _flushed("1f1b", rows, stages, minibatches, micro)


def interleaved(stages: int, minibatches: int = 1, micro: int = 1, chunks: int = 2) -> Table:
    """1f1b with `chunks` stages on each rank, stages / chunks apart: a smaller bubble.

    Raises:
        ValueError: chunks do not divide the stages, or micro-batches do not fill whole rounds.
    """
    ranks, chunks = rounds.ranks("interleaved", stages, micro, chunks)
    per = rounds.per_round("interleaved", ranks, micro, chunks)
    rows = [rounds.looped(r, ranks, micro, chunks, per) for r in range(ranks)]
    return _flushed("interleaved", rows, stages, minibatches, micro)


def zb_h1(stages: int, minibatches: int = 1, micro: int = 1, chunks: int = 1) -> Table:
    """1f1b whose ranks pass on the gradient of the inputs first, and take that of weights later.

    Raises:
        ValueError: chunks do not divide the stages, or micro-batches do not fill whole rounds.
    """
    ranks, chunks = rounds.ranks("zb_h1", stages, micro, chunks)
    per = rounds.per_round("zb_h1", ranks, micro, chunks)
    rows = [rounds.halved(r, ranks, micro, chunks, per) for r in range(ranks)]
    return _flushed("zb_h1", rows, stages, minibatches, micro)


def zbv(stages: int, minibatches: int = 1, micro: int = 1) -> Table:
    """Rank r holds the stages r and stages - 1 - r: the last stage is beside the first.

    Raises:
        ValueError: stages are not two a rank.
    """
    ranks, chunks = rounds.ranks("zbv", stages, micro, 2)
    if chunks == 1:
        return _flushed("zbv", [rounds.halved(0, 1, micro, 1, 1)], 1, minibatches, micro)
    rows = [rounds.v_shaped(r, ranks, micro) for r in range(ranks)]
    return _flushed("zbv", rows, stages, minibatches, micro)


def async_1f1b(stages: int, minibatches: int = 1, micro: int = 1) -> Table:
    """1f1b over the micro-batches of all minibatches, never flushed; U after the last B of each."""
    sizes("async_1f1b", stages=stages, minibatches=minibatches, micro=micro)
    rows = []
    for k in range(stages):
        row = []
        for op, i in rounds.in_turn(minibatches * micro, stages - 1 - k):
            t, j = divmod(i, micro)
            row.append(Action(k, op, t, j))
            if op == "B" and j == micro - 1:
                row.append(Action(k, "U", t))
        rows.append(tuple(row))
    return Table("async_1f1b", tuple(rows), stages, minibatches, micro)


SCHEDULES: dict[str, Callable[..., Table]] = {
    "naive": naive,
    "gpipe": gpipe,
    "1f1b": one_f_one_b,
    "interleaved": interleaved,
    "zb_h1": zb_h1,
    "zbv": zbv,
    "async_1f1b": async_1f1b,
}


def schedule(name: str, stages: int, minibatches: int = 1, micro: int = 1, **options: Any) -> Table:
    """The table of a schedule by its name.

    Args:
        name: One of SCHEDULES.
        stages: In how many parts the net is cut, over all ranks.
        minibatches: How many are trained.
        micro: In how many micro-batches each of them is cut.
        options: What this schedule takes beside, such as chunks=2: stages on each rank.

    Raises:
        ValueError: an unknown name or option (with the nearest), or sizes that it cannot take.
    """
    maker = SCHEDULES[check("schedule", name, SCHEDULES)]
    takes = [p for p in signature(maker).parameters if p not in ("stages", "minibatches", "micro")]
    for option in options:
        if option not in takes and takes:
            raise unknown(f"option of {name}", option, takes)
        if option not in takes:
            raise ValueError(f"{name} has no options, got {option}={options[option]!r}")
    sizes(name, stages=stages, minibatches=minibatches, micro=micro, **options)
    return maker(stages, minibatches, micro, **options)


def _alike(stages: int, row: Iterable[tuple[str, int]]) -> list[list[Step]]:
    """The same row for each stage, one a rank."""
    row = list(row)
    return [[(k, op, j) for op, j in row] for k in range(stages)]


def _flushed(name: str, rows: list[list[Step]], stages: int, minibatches: int, micro: int) -> Table:
    """The rows of one minibatch, again for each, with an update of all stages after it."""
    sizes(name, stages=stages, minibatches=minibatches, micro=micro)
    ranks = tuple(tuple(_again(row, minibatches)) for row in rows)
    return Table(name, ranks, stages, minibatches, micro)


def _again(row: list[Step], minibatches: int) -> Iterator[Action]:
    stages = sorted({stage for stage, _, _ in row})
    for t in range(minibatches):
        yield from (Action(stage, op, t, j) for stage, op, j in row)
        yield from (Action(stage, "U", t) for stage in stages)
