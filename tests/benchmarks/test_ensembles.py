"""What the benchmark of ensembles compares."""

from functools import partial

import pytest
import torch

from benchmarks import ensembles
from benchmarks.ensembles import Case, cases, dense, in_turn, line, sides

SMALL = Case(partial(dense, 6, 5, 10), 3, (6,), 4, True)


def test_twenty_cases_from_one_layer_to_a_resnet():
    found = cases("")
    assert len(found) == 20
    assert {case.train for case in found.values()} == {True, False}
    assert set(cases("ResNet-18")) < set(found)


@pytest.mark.parametrize("loop", [1.0, 4.0])
def test_ensemble_is_compared_with_the_better_of_all(loop, monkeypatch):
    took = {"loop": loop, "at_once": loop + 1, "stack": 2.0, "ensemble": 3.0}
    rows = {side: [(cpu, cpu)] * 3 for side, cpu in took.items()}
    monkeypatch.setattr(ensembles, "in_turn", lambda calls, rounds: rows)
    found = line("small", SMALL, 3)
    assert found["over_better"] == found["over_better_at_best"] == 3 / min(loop, 2) - 1
    assert found["better"] == ("loop" if loop < 2 else "stack")
    assert (found["stack_gain"], found["stack_gain_at_once"]) == (loop / 2, (loop + 1) / 2)


def test_all_sides_take_turns():
    turns = []
    calls = {side: partial(turns.append, side) for side in "ab"}
    times = in_turn(calls, 2)
    assert {side: len(rows) for side, rows in times.items()} == {"a": 2, "b": 2}
    order = "".join(turns)
    assert order.index("b") < order.rindex("a") < order.rindex("b")


@pytest.mark.parametrize("train", [True, False])
def test_every_side_runs(train):
    before = torch.get_rng_state()
    try:
        for call in sides(SMALL._replace(train=train)).values():
            call()
    finally:
        torch.set_rng_state(before)
