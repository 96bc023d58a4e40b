"""What is wrong with a table is told in words; a legal order is found in time of its length."""

import dataclasses

import pytest

from parallel.pipeline import checks
from parallel.pipeline.actions import Action, Table, needs
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.schedules import async_1f1b, gpipe, one_f_one_b, schedule, zb_h1, zbv


def read(text: str, micro: int = 1, name: str = "mine") -> Table:
    """A table of one minibatch from its lines, as it is printed."""
    rows = [
        tuple(Action(int(word[0]), word[1], 0, int(word[2:])) for word in line.split())
        for line in text.strip().splitlines()
    ]
    stages = 1 + max(a.stage for row in rows for a in row)
    return Table(name, tuple(rows), stages, 1, micro)


def test_table_order_takes_one_action_of_each_rank_in_turn():
    table = one_f_one_b(2, micro=2)
    names = [table.name_of(action) for action in checks.order(table)]
    assert names == ["0F0", "1F0", "0F1", "1B0", "0B0", "1F1", "1B1", "0B1", "1U0", "0U0"]


def test_an_order_that_is_drawn_is_legal_and_comes_again_with_its_seed():
    table = zbv(6, minibatches=2, micro=7)
    drawn = {seed: list(checks.order(table, seed)) for seed in range(5)}
    assert drawn[3] == list(checks.order(table, 3))
    assert len({tuple(order) for order in drawn.values()}) == 5
    for order in drawn.values():
        place = {action: i for i, action in enumerate(order)}
        assert len(place) == sum(map(len, table.ranks))
        assert all(place[need] < place[a] for a in order for need in needs(table, a))
        for row in table.ranks:
            assert [a for a in order if table.home[a.stage] == table.home[row[0].stage]] == [*row]


def test_a_long_table_is_checked_in_time_of_its_length(monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "needs", lambda *args: asked.append(args) or needs(*args))
    for table in (gpipe(4, micro=500), async_1f1b(4, minibatches=500), zb_h1(4, micro=500)):
        asked.clear()
        checks.check(table)
        # once when its turn comes, and once after each of at most two that it waited for
        assert len(asked) <= 3 * sum(map(len, table.ranks))


BROKEN = {
    "missing": ("0F0 0B0 0U0\n1F0 1U0", "1B0 is missing: expected once"),
    "no update": ("0F0 0B0\n1F0 1B0 1U0", "0U0 is missing"),
    "half": ("0F0 0I0 0U0\n1F0 1B0 1U0", "0W0 is missing"),
    "doubled": ("0F0 0B0 0U0\n1F0 1F0 1B0 1U0", "1F0 comes 2 times: expected once"),
    "both kinds": (
        "0F0 0I0 0W0 0B0 0U0\n1F0 1B0 1U0",
        "stage 0 has I or W, and 0B0: expected its backward passes all whole",
    ),
    "backward first": ("0F0 0B0 0U0\n1B0 1F0 1U0", "rank 1 waits at 1B0 for 1F0, which this rank"),
    "update first": ("0F0 0U0 0B0\n1F0 1B0 1U0", "rank 0 waits at 0U0 for 0B0, which this rank"),
    "two ranks": ("0F0 1B0 0B0 0U0\n1F0 1U0", "stage 1 is on rank 0 and, with 1F0, on rank 1"),
    "op": ("0F0 0X0 0U0\n1F0 1B0 1U0", "unknown op 'X' in (0, 'X', 0, 0): there are F, B, I, W, U"),
    "number": ("0F0 0B0 0B1 0U0\n1F0 1B0 1U0", "is of micro-batch 1: expected 0"),
    "idle": ("0F0 0B0 0U0\n1F0 1B0 1U0\n\n", "rank 2 has nothing to do"),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_table_is_refused_in_words(text, words):
    table = read(text)
    if text.endswith("\n\n"):
        table = dataclasses.replace(table, ranks=(*table.ranks, ()))
    with pytest.raises(ValueError, match=r"^table 'mine'") as error:
        checks.check(table)
    assert words in str(error.value)


def test_ranks_that_wait_for_each_other_are_all_named():
    table = read("0F0 0B0 0F1 0B1 0U0\n1F0 1F1 1B0 1B1 1U0", micro=2)
    with pytest.raises(ValueError, match="stuck") as error:
        checks.check(table)
    assert "rank 0 waits at 0B0 for 1B0; rank 1 waits at 1F1 for 0F1" in str(error.value)


def test_a_forward_before_its_input_is_refused():
    table = read("0F0 0B0 0U0\n2F0 1F0 2B0 1B0 1U0 2U0")
    with pytest.raises(
        ValueError, match="rank 1 waits at 2F0 for 1F0, which this rank takes later"
    ):
        checks.check(table)


def test_updates_out_of_order_are_refused():
    row = tuple(Action(0, op, t) for t in (1, 0) for op in "FBU")
    with pytest.raises(ValueError, match="0U1 comes before 0U0: expected the updates of a stage"):
        checks.check(Table("mine", (row,), 1, minibatches=2))


@pytest.mark.parametrize("name", ["1f1b", "zb_h1", "zbv", "async_1f1b"])
def test_without_any_one_action_a_table_is_refused(name):
    table = schedule(name, 4, minibatches=2, micro=3)
    for rank, row in enumerate(table.ranks):
        for i, action in enumerate(row):
            ranks = [*table.ranks]
            ranks[rank] = row[:i] + row[i + 1 :]
            with pytest.raises(ValueError, match=f"{table.name_of(action)} is missing"):
                checks.check(dataclasses.replace(table, ranks=tuple(ranks)))


def test_a_table_of_a_wrong_size_is_refused():
    with pytest.raises(ValueError, match="is of stage 3: expected 0 to 2"):
        checks.check(dataclasses.replace(one_f_one_b(4), stages=3))
    with pytest.raises(ValueError, match="4F0 is missing"):
        checks.check(dataclasses.replace(one_f_one_b(4), stages=5))
    with pytest.raises(ValueError, match="is of minibatch 1: expected 0"):
        checks.check(dataclasses.replace(one_f_one_b(4, minibatches=2), minibatches=1))


def test_a_schedule_that_makes_no_table_is_told_what_it_has_to_make():
    words = r"a schedule makes a parallel.Table from stages, minibatches and micro, got 'no table'"
    with pytest.raises(ValueError, match=words):
        Pipeline(3, schedule=lambda stages, minibatches, micro: "no table")
