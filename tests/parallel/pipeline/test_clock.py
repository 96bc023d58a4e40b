"""When things happen: equal to the formulas in exact numbers, and to what costs and ways add."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.pipeline import formulas
from parallel.pipeline.actions import Action, Table, held, needs
from parallel.pipeline.checks import order
from parallel.pipeline.clock import UNIT, measured, simulate
from parallel.pipeline.schedules import SCHEDULES, async_1f1b, gpipe, one_f_one_b, schedule, zb_h1
from tests.drawn import examples

CHUNKED = ("interleaved", "zb_h1")
KINDS = [(name, 2 if name in ("interleaved", "zbv") else 1) for name in SCHEDULES] + [("zb_h1", 2)]


def made(name: str, ranks: int, micro: int, chunks: int, minibatches: int = 1):
    options = {"chunks": chunks} if name in CHUNKED else {}
    try:
        return schedule(name, ranks * chunks, minibatches, micro, **options)
    except ValueError:
        return None


@pytest.mark.parametrize("ranks", range(1, 9))
@pytest.mark.parametrize(("name", "chunks"), KINDS)
def test_makespan_bubble_and_activations_are_the_formulas(name, chunks, ranks):
    for micro in range(1, 34):
        table = made(name, ranks, micro, chunks)
        if table is None:
            continue
        sizes = formulas.sizes_of(table)
        assert sizes == (name, ranks, micro, chunks, 1)
        clock = simulate(table)
        assert clock.makespan == formulas.makespan(*sizes), micro
        assert clock.bubble == formulas.bubble(*sizes), micro
        assert held(table) == formulas.activations(*sizes), micro


@given(st.sampled_from(KINDS), st.integers(1, 6), st.integers(1, 24), st.integers(1, 3))
@examples(60)
def test_so_they_are_for_several_minibatches(kind, ranks, micro, minibatches):
    name, chunks = kind
    table = made(name, ranks, micro, chunks, minibatches)
    if table is None:
        return
    sizes = formulas.sizes_of(table)
    assert held(table) == formulas.activations(*sizes)
    if name == "zbv" and minibatches > 1 and micro < 2 * ranks - 1:
        with pytest.raises(ValueError, match=f"expected at least {2 * ranks - 1} micro-batches"):
            formulas.makespan(*sizes)
        return
    assert simulate(table).makespan == formulas.makespan(*sizes)
    assert simulate(table).bubble == formulas.bubble(*sizes)


def test_the_formulas_are_those_of_the_papers():
    P, m, V = 4, 8, 2
    assert formulas.bubble("naive", P, m) == Fraction(P - 1, P)
    assert formulas.bubble("gpipe", P, m) == Fraction(P - 1, m + P - 1)
    assert formulas.bubble("1f1b", P, m) == Fraction(P - 1, m + P - 1)
    assert formulas.bubble("interleaved", P, m, V) == Fraction(P - 1, V * m + P - 1)
    assert formulas.bubble("zb_h1", P, m, V) == Fraction(P - 1, 3 * V * m + P - 1)
    assert formulas.bubble("zbv", P, m, 2) == Fraction(P - 1, 6 * m + P - 1)
    assert formulas.bubble("async_1f1b", P, 1, 1, 10**6) < Fraction(1, 10**5)  # nothing is flushed
    assert formulas.activations("gpipe", P, m) == [8] * 4
    assert formulas.activations("1f1b", P, m) == [4, 3, 2, 1]
    assert formulas.activations("interleaved", P, m, V) == [11, 9, 7, 5]
    assert formulas.activations("zb_h1", P, m, V) == [8] * 4
    with pytest.raises(ValueError, match="unknown schedule 'zbh1': did you mean 'zb_h1'"):
        formulas.makespan("zbh1", P, m)


@pytest.mark.parametrize("name", ["gpipe", "1f1b"])
def test_the_slowest_stage_sets_the_pace(name):
    costs = {**UNIT, (1, "F"): 3, (1, "B"): 5}
    more, less = (simulate(schedule(name, 3, 1, m), costs).makespan for m in (21, 20))
    assert more - less == 3 + 5


def test_costs_of_unequal_halves_are_those_of_the_paper():
    F, I, W, P, m = 10, 12, 9, 4, 16  # noqa: E741
    clock = simulate(zb_h1(P, micro=m), {"F": F, "I": I, "W": W})
    assert clock.makespan == m * (F + I + W) + (P - 1) * (F + I - W)
    clock = simulate(one_f_one_b(P, micro=m), {"F": F, "B": I + W})
    assert clock.makespan == m * (F + I + W) + (P - 1) * (F + I + W)


def test_what_is_on_its_way_delays_the_other_rank_only():
    base, far = (simulate(gpipe(3, micro=1), communication=c).makespan for c in (0, Fraction(1, 2)))
    assert far - base == 4 * Fraction(1, 2)  # two boundaries, there and back
    ring = schedule("zbv", 4, 1, 1)  # stages 1 and 2 share a rank
    base, far = (simulate(ring, communication=c).makespan for c in (0, 1))
    assert far - base == 4


def test_updates_cost_where_that_is_said():
    free, dear = (simulate(async_1f1b(1, 5), {**UNIT, "U": u}).makespan for u in (0, 2))
    assert (free, dear) == (15, 25)


@given(st.sampled_from(list(SCHEDULES)), st.integers(1, 5), st.integers(1, 8), st.randoms())
@examples(40)
def test_an_action_begins_as_soon_as_it_can(name, ranks, micro, random):
    table = made(name, ranks, ranks * micro, 2 if name in ("interleaved", "zbv") else 1)
    assert table is not None
    costs = {a: random.randint(1, 9) for row in table.ranks for a in row}
    clock = simulate(table, costs, communication=2)
    for row in table.ranks:
        for before, action in zip((None, *row), row, strict=False):
            begin, end = clock.times[action]
            assert end - begin == costs[action]
            ways = {
                n: 2 * (table.home[n.stage] != table.home[action.stage])
                for n in needs(table, action)
            }
            waits = [clock.times[n][1] + way for n, way in ways.items()]
            waits.append(clock.times[before][1] if before else 0)
            assert begin == max(waits)
    work = sum(costs.values())
    assert sum(clock.idle) + work == len(table.ranks) * clock.makespan


def test_a_clock_says_what_its_times_are():
    table = one_f_one_b(2, micro=2)
    assert str(simulate(table)) == (
        "1f1b, simulated from given costs: makespan 9, bubble 1/3 = 0.3333, "
        "1/9 = 0.1111 minibatches in a unit of time"
    )
    costs = {(stage, op): 0.25 for stage in range(2) for op in "FB"}
    assert "simulated from measured costs" in str(simulate(table, costs, source="measured"))
    assert "costs, 1/2 = 0.5 from rank to rank:" in str(simulate(table, UNIT, Fraction(1, 2)))
    real = {action: (5.0 + i, 5.75 + i) for i, action in enumerate(order(table))}
    clock = measured(table, real)
    assert str(clock).startswith("1f1b, measured: makespan 9.75, bubble 0.6154")
    assert clock.times[Action(0, "F", 0, 0)] == (0, 0.75)


def test_a_measured_clock_wants_a_time_of_every_action():
    table = one_f_one_b(2, micro=2)
    real = dict.fromkeys(order(table), (0.0, 1.0))
    del real[Action(1, "B", 0, 1)]
    with pytest.raises(ValueError, match="1 of 10 actions have no measured time, the first is 1B1"):
        measured(table, real)


def test_wrong_costs_are_refused_in_words():
    with pytest.raises(ValueError, match=r"no cost of B on stage 0.*such as F=1,B=2"):
        simulate(one_f_one_b(2), {"F": 1, "I": 1, "W": 1})
    for cost in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"the cost of 0F0 is {cost}: expected a time"):
            simulate(one_f_one_b(2), {"F": cost, "B": 1})
    with pytest.raises(ValueError, match="nothing takes any time: expected a cost above 0"):
        simulate(one_f_one_b(2), {"F": 0, "B": 0})
    with pytest.raises(ValueError, match="the cost of communication is -1"):
        simulate(one_f_one_b(2), communication=-1)


def test_a_table_that_is_stuck_has_no_times():
    rows = (Action(0, "B", 0), Action(0, "F", 0)), (Action(1, "F", 0), Action(1, "B", 0))
    with pytest.raises(ValueError, match="rank 0 waits at 0B0 for 0F0"):
        simulate(Table("mine", rows, 2))
