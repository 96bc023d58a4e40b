"""Schedules as pictures, complete for all sizes, and refused in words where they cannot be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.pipeline.actions import needs
from parallel.pipeline.checks import check, order
from parallel.pipeline.clock import simulate
from parallel.pipeline.formulas import NAMES
from parallel.pipeline.schedules import SCHEDULES, schedule
from parallel.pipeline.terminal import grid
from tests.drawn import examples

PICTURES = {
    ("naive", 3, 1, 2): """
        0: F0 .  .  .  .  .  .  B0--- F1 .  .  .  .  .  .  B1---
        1: .  F0 .  .  .  B0--- .  .  .  F1 .  .  .  B1--- .  .
        2: .  .  F0 B0--- .  .  .  .  .  .  F1 B1--- .  .  .  .""",
    ("gpipe", 3, 1, 4): """
        0: F0 F1 F2 F3 .  .  .  .  .  .  B0--- B1--- B2--- B3---
        1: .  F0 F1 F2 F3 .  .  .  B0--- B1--- B2--- B3--- .  .
        2: .  .  F0 F1 F2 F3 B0--- B1--- B2--- B3--- .  .  .  .""",
    ("1f1b", 3, 1, 4): """
        0: F0 F1 F2 .  .  .  .  B0--- F3 B1--- .  B2--- .  B3---
        1: .  F0 F1 .  .  B0--- F2 B1--- F3 B2--- .  B3--- .  .
        2: .  .  F0 B0--- F1 B1--- F2 B2--- F3 B3--- .  .  .  .""",
    ("interleaved", 4, 1, 2): """
        0: 0F0 0F1 2F0 2F1 .   .   2B0---- .   2B1---- 0B0---- 0B1----
        1: .   1F0 1F1 3F0 3B0---- 3F1 3B1---- 1B0---- 1B1---- .   .""",
    ("zb_h1", 3, 1, 4): """
        0: F0 F1 F2 .  .  I0 W0 F3 I1 W1 I2 W2 I3 W3
        1: .  F0 F1 .  I0 F2 I1 W0 F3 I2 W1 I3 W2 W3
        2: .  .  F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 W2 W3""",
    ("zbv", 4, 1, 3): """
        0: 0F0 0F1 0F2 3F0 3I0 3W0 3F1 3I1 3W1 0I0 0W0 3F2 3I2 3W2 0I1 0W1 0I2 0W2 .
        1: .   1F0 2F0 1F1 2F1 2I0 2W0 1F2 1I0 1W0 2F2 2I1 2W1 1I1 2I2 1I2 1W1 2W2 1W2""",
    ("async_1f1b", 3, 5, 1): """
        0: F0 F1 F2 .  .  .  .  B0--- F3 B1--- F4 B2--- .  B3--- .  B4---
        1: .  F0 F1 .  .  B0--- F2 B1--- F3 B2--- F4 B3--- .  B4--- .  .
        2: .  .  F0 B0--- F1 B1--- F2 B2--- F3 B3--- F4 B4--- .  .  .  .""",
}  # fmt: skip


@pytest.mark.parametrize(("size", "picture"), PICTURES.items(), ids=[s[0] for s in PICTURES])
def test_a_small_table_looks_like_its_picture(size, picture):
    wanted = [line.strip() for line in picture.strip().splitlines()]
    assert grid(simulate(schedule(*size))).splitlines() == wanted


def made(name: str, ranks: int, minibatches: int, micro: int):
    """Its table, or None where it is refused: then both numbers that it names are taken."""
    stages = ranks * (2 if name in ("interleaved", "zbv") else 1)
    if name == "interleaved" and micro >= ranks and micro % (micro // ranks):
        with pytest.raises(ValueError, match="equal rounds") as error:
            schedule(name, stages, minibatches, micro)
        below, above = map(int, re.findall(r"expected (\d+) or (\d+)", str(error.value))[0])
        assert below < micro < above
        assert all(schedule(name, stages, minibatches, m) for m in (below, above))
        return None
    return schedule(name, stages, minibatches, micro)


@pytest.mark.parametrize("ranks", range(1, 9))
@pytest.mark.parametrize("name", SCHEDULES)
def test_tables_of_all_sizes_are_complete_and_never_stuck(name, ranks):
    tables = [made(name, ranks, 1, micro) for micro in range(1, 34)]
    for table in filter(None, tables):
        check(table)
        assert len(table.ranks) == ranks
    if name != "interleaved":
        assert None not in tables


@given(
    st.sampled_from(list(SCHEDULES)), st.integers(1, 10), st.integers(1, 4), st.integers(1, 40),
    st.integers(0, 9),
)  # fmt: skip
@examples(60)
def test_any_legal_order_of_any_table_takes_all_of_it(name, ranks, minibatches, micro, seed):
    table = made(name, ranks, minibatches, micro)
    if table is None:
        return
    check(table)
    done = set()
    for action in order(table, seed):
        assert done.issuperset(needs(table, action))
        done.add(action)
    assert len(done) == sum(map(len, table.ranks))


@given(st.sampled_from(["interleaved", "zb_h1"]), st.integers(1, 5), st.integers(3, 5), st.data())
@examples(30)
def test_any_number_of_chunks_makes_a_table(name, ranks, chunks, data):
    micro = ranks * data.draw(st.integers(1, 4))
    table = schedule(name, ranks * chunks, 2, micro, chunks=chunks)
    check(table)
    assert len(table.ranks) == ranks
    assert all(rank == stage % ranks for stage, rank in table.home.items())


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_single_stage_trains_one_micro_batch_after_the_other(name):
    table = schedule(name, 1, minibatches=2, micro=2)
    check(table)
    words = " ".join(table.text().split()[1:])
    whole = "0F0 0F1 0B0 0B1 0U0 0F2 0F3 0B2 0B3 0U1" if name == "gpipe" else None
    halves = "0F0 0I0 0W0 0F1 0I1 0W1 0U0 0F2 0I2 0W2 0F3 0I3 0W3 0U1"
    turns = "0F0 0B0 0F1 0B1 0U0 0F2 0B2 0F3 0B3 0U1"
    assert words == (whole or (halves if name.startswith("zb") else turns))


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "async_1f1b"])
def test_a_stage_that_flushes_updates_before_anything_of_the_next_minibatch(name):
    table = schedule(name, 4, minibatches=3, micro=4)
    for row in table.ranks:
        of = [action.minibatch for action in row]
        assert of == sorted(of)
        assert [a.op for a in row[: len(row) // 3]].count("U") == len({a.stage for a in row})


def test_the_registry_and_the_formulas_know_the_same_names():
    assert tuple(SCHEDULES) == NAMES
    assert all(schedule(name, 4, 1, 4).name == name for name in SCHEDULES)


REFUSED = [
    (("zb", 4), {}, "unknown schedule 'zb': did you mean 'zbv'?"),
    (("zb_h1", 4), {"chunk": 2}, "unknown option of zb_h1 'chunk': did you mean 'chunks'?"),
    (("1f1b", 4), {"chunks": 2}, "1f1b has no options, got chunks=2"),
    (("1f1b", 0), {}, "1f1b: stages must be a whole number from 1, got 0"),
    (("gpipe", 4, 1, 2.5), {}, "gpipe: micro must be a whole number from 1, got 2.5"),
    (("naive", 4, -1), {}, "naive: minibatches must be a whole number from 1, got -1"),
    (("zbv", 5), {}, "zbv: 5 stages are no whole ranks of 2 stages: expected 4 or 6 stages"),
    (("interleaved", 2), {"chunks": 3}, "no whole ranks of 3 stages: expected 3 stages"),
    (("interleaved", 8), {"chunks": 0}, "chunks must be a whole number from 1, got 0"),
    (("interleaved", 8, 1, 9), {}, "9 micro-batches cannot be cut into 2 equal rounds, which 4"),
]


@pytest.mark.parametrize(("size", "options", "words"), REFUSED)
def test_what_cannot_be_is_refused_in_words(size, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        schedule(*size, **options)
    if size[0] in ("interleaved", "zbv"):  # called by themselves they say the same
        with pytest.raises(ValueError, match=re.escape(words)):
            SCHEDULES[size[0]](*size[1:], **options)
