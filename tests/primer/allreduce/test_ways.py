"""Ways to add up: sums of plain lists, costs of the formulas, a clock without formulas."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parallel.world.comm import Comm
from primer.allreduce import costs, fusion, measured
from primer.allreduce.carried import all_reduce, steps
from primer.allreduce.ways import WAYS, lower
from tests.drawn import examples

NS, SIZES = st.integers(1, 12), st.integers(1, 30)
NAMES = st.sampled_from(sorted(WAYS))


def slow(plan, lists):
    """The plan with lists of numbers: all of a round is read before anything is written."""
    width = -(-len(lists[0]) // plan.slices)
    full = [row + [0] * (width * plan.slices - len(row)) for row in lists]
    for moves in plan.rounds:
        read = [(m, full[m.source][m.first * width : m.last * width]) for m in moves]
        for m, numbers in read:
            for k, number in enumerate(numbers):
                at = m.first * width + k
                full[m.target][at] = number + (full[m.target][at] if m.adds else 0)
    return [row[: len(lists[0])] for row in full]


@examples(25)
@given(NAMES, NS, SIZES)
def test_all_have_the_sum_and_every_step_is_that_of_lists(way, n, size):
    rows = measured.drawn(Comm(n), size)
    lists = [rows[i].int().tolist() for i in range(n)]
    total = [sum(column) for column in zip(*lists, strict=True)]
    comm = Comm(n)
    found = all_reduce(way, comm, rows)
    assert slow(WAYS[way](n), lists) == [found[i].tolist() for i in range(n)] == [total] * n
    assert measured.total(n, size).tolist() == total
    assert comm.sent == 4 * sum(costs.sent(way, n, size))
    assert [rows[i].tolist() for i in range(n)] == lists, "what was given is as it was"


@examples(25)
@given(NAMES, NS, SIZES)
def test_formulas_are_what_a_plan_has_and_a_clock_says(way, n, size):
    plan = WAYS[way](n)
    row = costs.messages(way, n), costs.numbers(way, n, size)
    sent = costs.sent(way, n, size)
    assert costs.counted(plan, size) == (*row, costs.posted(way, n), sent)
    alpha, beta = Fraction(7, 3), Fraction(1, 5)
    assert costs.clock(plan, size, alpha, beta) == costs.seconds(way, n, size, alpha, beta)


@pytest.mark.parametrize("n", range(2, 9))
def test_all_ways_send_the_same_and_none_more_than_it_has_to(n):
    for way in WAYS:
        assert sum(costs.sent(way, n, 840)) == 2 * (n - 1) * 840
        assert costs.numbers(way, n, 840) * n >= 2 * (n - 1) * 840
    assert max(costs.sent("ring", n, 840)) * n == 2 * (n - 1) * 840
    assert lower(n) <= n < 2 * lower(n)


def test_halfway_round_a_ring_each_has_one_part_that_is_whole():
    plan = WAYS["ring"](5)
    rows = {i: torch.ones(5) for i in range(5)}
    for k, _ in enumerate(steps(plan, Comm(5), rows), 1):
        whole = torch.stack([*rows.values()]) == 5
        assert whole.sum().item() == max(0, 5 * (k - 3)), k


@examples(25)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 20))
def test_buffers_take_what_fits_in_its_order(sizes, limit):
    found = fusion.groups(sizes, limit)
    assert [i for group in found for i in group] == list(range(len(sizes)))
    full = [sum(sizes[i] for i in group) for group in found]
    assert all(size <= limit or len(group) == 1 for size, group in zip(full, found, strict=True))
    for size, after in zip(full, found[1:], strict=False):
        assert size + sizes[after[0]] > limit, "it would have had room"


def test_fused_sums_are_those_of_each_and_cost_what_is_said():
    sizes, n = [3, 40, 1, 1, 17], 4
    for limit in (0, 5, 44, 62):
        comm = Comm(n)
        rows = [measured.drawn(comm, size) for size in sizes]
        for size, sums in zip(sizes, fusion.reduce_all("ring", comm, rows, limit), strict=True):
            assert all(torch.equal(sums[i], measured.total(n, size)) for i in range(n))
        assert comm.sent == 4 * fusion.sent("ring", n, sizes, limit)
        moves = sum(map(len, WAYS["ring"](n).rounds))
        buffers = len(fusion.groups(sizes, limit))
        assert fusion.posted("ring", n, sizes, limit) == buffers * moves


def test_a_line_is_found_where_there_is_one():
    points = [(m, b, 2e-3 * m + 5e-9 * b) for m, b in ((1, 1e3), (6, 1e4), (4, 1e7))]
    table = np.array([[m / t, b / t] for m, b, t in points])
    # roundings of the table and of its product, times what the equations make of them
    bound = 8 * np.linalg.cond(table) * 2.0**-52 * np.linalg.norm((2e-3, 5e-9))
    assert bound < 5e-9 / 100
    assert abs(np.subtract(measured.line(points), (2e-3, 5e-9))).max() <= bound


def test_in_one_process_tasks_tell_the_bytes_and_times_of_all():
    rows = list(measured.task(Comm(3), 6, [8], 1))
    told = {row["way"]: row for row in rows if "sent" in row}
    assert all(row["right"] for row in told.values())
    assert [(way, row["sent"]) for way, row in told.items()] == [(way, [96.0]) for way in WAYS]
    assert [row["way"] for row in rows[4:]] == list(WAYS)
    assert all(row["seconds"] > 0 for row in rows[4:])
