"""Tables as data: how they are printed, what actions need, which versions they meet."""

import dataclasses

import pytest

from parallel.pipeline.actions import Action, Table, held, needs, versions
from parallel.pipeline.schedules import async_1f1b, one_f_one_b, schedule, zb_h1, zbv
from parallel.pipeline.staleness import delays, histogram, live


def test_an_action_is_printed_as_stage_op_and_number():
    table = one_f_one_b(2, minibatches=2, micro=3)
    assert table.name_of(Action(1, "F", 1, 2)) == "1F5"  # counted through all minibatches
    assert table.name_of(Action(1, "U", 1)) == "1U1"


def test_the_table_of_the_docstring():
    assert async_1f1b(stages=2, minibatches=3).text() == (
        "0: 0F0 0F1 0B0 0U0 0F2 0B1 0U1 0B2 0U2\n"
        "1: 1F0 1B0 1U0 1F1 1B1 1U1 1F2 1B2 1U2"
    )  # fmt: skip


def test_every_stage_is_at_home_on_its_rank():
    assert zbv(6, micro=5).home == {0: 0, 5: 0, 1: 1, 4: 1, 2: 2, 3: 2}


def test_what_each_op_needs():
    whole, halves = one_f_one_b(3, micro=2), zb_h1(3, micro=2)
    assert needs(whole, Action(0, "F", 0, 1)) == []
    assert needs(whole, Action(2, "F", 0, 1)) == [Action(1, "F", 0, 1)]
    assert needs(whole, Action(2, "B", 0, 1)) == [Action(2, "F", 0, 1)]
    assert needs(whole, Action(1, "B", 0, 1)) == [Action(1, "F", 0, 1), Action(2, "B", 0, 1)]
    assert needs(halves, Action(1, "I", 0, 1)) == [Action(1, "F", 0, 1), Action(2, "I", 0, 1)]
    assert needs(halves, Action(1, "W", 0, 1)) == [Action(1, "I", 0, 1)]
    assert needs(whole, Action(1, "U", 0)) == [Action(1, "B", 0, 0), Action(1, "B", 0, 1)]
    assert needs(halves, Action(1, "U", 0)) == [Action(1, "W", 0, 0), Action(1, "W", 0, 1)]


def test_a_digest_differs_where_tables_do():
    sizes = [("1f1b", 4, 1, 8), ("gpipe", 4, 1, 8), ("1f1b", 4, 1, 9), ("1f1b", 4, 2, 4)]
    tables = [schedule(*size) for size in sizes]
    assert len({table.digest for table in tables}) == 4
    assert tables[0].digest == one_f_one_b(4, 1, 8).digest
    first, *others = tables[0].ranks
    swapped = dataclasses.replace(tables[0], ranks=((first[1], first[0], *first[2:]), *others))
    assert swapped.digest != tables[0].digest


@pytest.mark.parametrize("stages", range(1, 9))
def test_a_pipeline_that_is_never_flushed_has_a_delay_of_the_stages_behind(stages):
    found = delays(async_1f1b(stages, minibatches=3 * stages))
    for (k, _, t, _), delay in found.items():
        assert delay == min(t, stages - 1 - k)  # fewer while it fills
    assert len(found) == 3 * stages * stages


@pytest.mark.parametrize("stages", range(1, 9))
def test_stage_k_of_n_meets_n_minus_k_versions_at_a_time(stages):
    assert live(async_1f1b(stages, minibatches=2 * stages)) == list(range(stages, 0, -1))
    assert held(async_1f1b(stages, minibatches=2 * stages)) == list(range(stages, 0, -1))


@pytest.mark.parametrize("micro", [3, 4, 7])
def test_with_enough_micro_batches_two_versions_are_enough(micro):
    table = async_1f1b(4, minibatches=5, micro=micro)
    assert max(delays(table).values()) == 1
    assert live(table) == [2, 2, 2, 1]


def test_with_too_few_micro_batches_they_are_not():
    assert live(async_1f1b(4, minibatches=5, micro=2))[0] == 3


@pytest.mark.parametrize("name", ["naive", "gpipe", "1f1b", "interleaved", "zb_h1", "zbv"])
def test_schedules_that_flush_have_no_delay(name):
    table = schedule(name, 4, minibatches=3, micro=4)
    assert histogram(table) == [{0: 12}] * 4
    assert live(table) == [1] * 4
    assert {t: made for (_, op, t, _), made in versions(table).items()} == {0: 0, 1: 1, 2: 2}


def test_held_counts_until_the_last_half_of_a_backward():
    row = [Action(0, op, 0, j) for op, j in [("F", 0), ("I", 0), ("F", 1), ("W", 0), ("I", 1)]]
    assert held(Table("mine", (tuple(row),), 1, 1, 2)) == [2]
