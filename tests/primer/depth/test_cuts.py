"""Tasks of a step: their work, depth and results, however they are cut and whoever does them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.cost import total
from parallel.pipeline.clock import simulate
from parallel.pipeline.schedules import schedule
from primer.count import counting
from primer.depth import bounds, cuts
from primer.depth.carried import Carried, perform
from primer.depth.cuts import Node, Task
from tests.drawn import examples
from tests.primer.whole import by_torch, drawn

POWERS = st.sampled_from([1, 2, 4])


def net_of(widths):
    return nn.Sequential(*[nn.Linear(a, b, bias=False) for a, b in pairwise(widths)])


@examples(20)
@given(POWERS, POWERS, st.lists(st.sampled_from([4, 8]), min_size=2, max_size=4))
def test_a_step_in_tasks_is_the_step_and_costs_what_is_said(blocks, parts, widths):
    step = cuts.step_of(net_of(widths), 8)
    assert sum(step.macs) == total(net_of(widths), (widths[0],)).macs
    tasks, given = cuts.graph(step, blocks, parts), drawn(widths, 8)
    run = Carried(*given, blocks, parts)
    with counting() as count:
        perform(run, tasks, [list(tasks)])
    for found, expected in zip(run.gradients, by_torch(*given), strict=True):
        assert np.array_equal(found, expected)
    assert count.macs + count.adds == bounds.work(tasks) == bounds.works(step, blocks, parts)
    assert bounds.depth(tasks) == bounds.depths(step, blocks, parts)


@pytest.mark.parametrize("way", ["block", "cut"])
@pytest.mark.parametrize("workers", [2, 4])
def test_in_threads_the_bits_are_the_same(way, workers):
    widths, count = (4, 8, 8, 4), 4
    blocks, parts = (count, 1) if way == "block" else (1, count)
    tasks, given = cuts.graph(cuts.step_of(net_of(widths), 8), blocks, parts), drawn(widths, 8)
    lists = cuts.rows(tasks, lambda task: getattr(task, way) * workers // count, workers)
    assert sorted(task for row in lists for task in row) == sorted(tasks)
    run = Carried(*given, blocks, parts)
    seconds = perform(run, tasks, lists)
    assert set(seconds) == set(tasks)
    for found, expected in zip(run.gradients, by_torch(*given), strict=True):
        assert np.array_equal(found, expected)
    mine = bounds.timed(tasks, seconds)
    assert bounds.work(mine) == sum(seconds[task] for task in tasks)


@pytest.mark.parametrize(("name", "stages", "micro"), [("1f1b", 4, 8), ("gpipe", 2, 4)])
def test_a_pipeline_takes_as_long_as_its_table_says(name, stages, micro):
    widths = (4, 8, 4, 8, 4)
    step, table = cuts.step_of(net_of(widths), 8), schedule(name, stages, 1, micro)
    tasks, given = cuts.graph(step, micro), drawn(widths, 8)
    lists, per, costs = cuts.scheduled(tasks, table, 4), 4 // stages, {}
    for task, node in tasks.items():
        op = {"G": "U"}.get(task.op, task.op)
        if op == "U" or not task.block:
            stage = task.layer // per
            costs[stage, op] = costs.get((stage, op), 0) + node.work
    assert bounds.pinned(tasks, lists) == simulate(table, costs).makespan
    run = Carried(*given, micro)
    perform(run, tasks, lists)
    for found, expected in zip(run.gradients, by_torch(*given), strict=True):
        assert np.array_equal(found, expected)


def slow(tasks, p):
    """Unit by unit of time: p workers, who go on with what they have and take what is ready."""
    left, doing, done, now = {t: n.work for t, n in tasks.items()}, [], set(), 0
    while len(done) < len(tasks):
        for task, node in tasks.items():
            ready = task not in done and task not in doing and done.issuperset(node.needs)
            if ready and len(doing) < p:
                doing.append(task)
        now += 1
        for task in doing:
            left[task] -= 1
        done |= {task for task in doing if not left[task]}
        doing = [task for task in doing if left[task]]
    return now


@st.composite
def graphs(draw):
    tasks = {}
    for i in range(draw(st.integers(1, 9))):
        needs = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else ()
        work = draw(st.integers(1, 5))
        tasks[Task("F", i)] = Node(work, tuple(Task("F", k) for k in needs))
    return tasks


@examples(100)
@given(graphs(), st.integers(1, 4))
def test_greedy_workers_keep_brents_bounds_and_the_slow_clock(tasks, p):
    work, deep = bounds.work(tasks), bounds.depth(tasks)
    least, most = bounds.brent(work, deep, p)
    assert least <= bounds.greedy(tasks, p) <= most
    assert bounds.greedy(tasks, p) == slow(tasks, p)
    assert (bounds.greedy(tasks, 1), bounds.greedy(tasks, len(tasks))) == (work, deep)
    lists = cuts.rows(tasks, lambda task: task.layer % p, p)
    assert least <= bounds.pinned(tasks, lists) <= work


def test_rows_that_wait_for_each_other_are_a_bug():
    one, two = Task("F", 0), Task("F", 1)
    tasks = {one: Node(1, ()), two: Node(1, (one,))}
    with pytest.raises(AssertionError, match="wait for each other"):
        bounds.pinned(tasks, [[two, one]])


def test_a_task_that_fails_ends_all_threads():
    tasks = cuts.graph(cuts.step_of(net_of((4, 4)), 4), 2)
    weights, x, target = drawn((4, 4), 4)
    run = Carried(weights, x, target[:, :3], 2)
    lists = cuts.rows(tasks, lambda task: task.block, 2)
    with pytest.raises(ValueError, match="broadcast"):
        perform(run, tasks, lists)
