"""The same forwards and backwards in the same order as in torch's own tables, rank by rank.

Its schedules want processes, but the methods that write their tables only read some sizes. Where a
torch has none of these methods (they are private), the test says so.
"""

import itertools
import re
from types import SimpleNamespace

import pytest

from parallel.pipeline.schedules import schedule

OURS = {
    "gpipe": "ScheduleGPipe",
    "1f1b": "Schedule1F1B",
    "interleaved": "ScheduleInterleaved1F1B",
    "zb_h1": "ScheduleInterleavedZeroBubble",
    "zbv": "ScheduleZBVZeroBubble",
}
SINGLE = ("gpipe", "1f1b")  # one stage a rank; one method writes the rows of all
COMPUTED = re.compile(r"\d+[FBIW]\d+")
SIZES = {
    (name, ranks, micro, chunks)
    for name, ranks, micro in itertools.product(OURS, range(1, 9), range(1, 34))
    for chunks in ((1,) if name in SINGLE else (2,) if name == "zbv" else (1, 2, 3))
}


def by_torch(name: str, ranks: int, micro: int, chunks: int) -> list[str]:
    """Rows of its table, without what is not F, B, I or W."""
    schedules = pytest.importorskip("torch.distributed.pipelining.schedules")
    kind = getattr(schedules, OURS[name], None)
    method = "_get_pipeline_order" if name in SINGLE else "_calculate_single_rank_operations"
    if not hasattr(kind, method):
        pytest.skip(f"this torch has no {OURS[name]}.{method} to compare with")
    rounds = max(1, micro // ranks)
    sizes = SimpleNamespace(
        _num_stages=ranks * chunks,
        num_stages=ranks * chunks,
        _n_microbatches=micro,
        n_local_stages=chunks,
        pp_group_size=ranks,
        number_of_rounds=rounds,
        microbatches_per_round=micro // rounds,
    )
    write = getattr(kind, method)
    rows = write(sizes) if name in SINGLE else {r: write(sizes, r) for r in range(ranks)}
    if rows is None:
        pytest.skip(f"{OURS[name]} of this torch writes no table")
    found = [[str(a) for a in rows[r] if COMPUTED.fullmatch(str(a))] for r in range(ranks)]
    if name == "1f1b" and found[-1][0].endswith("F1"):
        found[-1] = [earlier(a) for a in found[-1]]
    return list(map(" ".join, found))


def earlier(action: str) -> str:
    """Of the last rank of 1F1B: torch 2.15 prints its forwards as 1 to m, and runs 0 to m - 1."""
    stage, forward, number = action.partition("F")
    return f"{stage}F{int(number) - 1}" if forward else action


@pytest.mark.parametrize("name", OURS)
def test_each_rank_does_the_same_in_the_same_order_as_in_torch(name):
    compared = 0
    for _, ranks, micro, chunks in sorted(size for size in SIZES if size[0] == name):
        if name == "1f1b" and micro < ranks - 1:
            continue  # (torch writes forwards of micro-batches that there are not)
        options = {"chunks": chunks} if name in ("interleaved", "zb_h1") else {}
        if chunks > 1 and name != "zbv" and micro % max(1, micro // ranks):
            continue  # both refuse it
        table = schedule(name, ranks * chunks, 1, micro, **options)
        ours = [" ".join(table.name_of(a) for a in row if a.op != "U") for row in table.ranks]
        assert ours == by_torch(name, ranks, micro, chunks), (ranks, micro, chunks)
        compared += 1
    assert compared > 100
