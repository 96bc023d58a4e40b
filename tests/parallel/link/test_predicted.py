"""What a plan costs on a cable, by other ways of counting it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.linked.predicted import cost
from parallel.strategy import make
from parallel.world.ops import CENTRE

STEPS, SIZE = 48, 1000.0


def made(name, workers, **options):
    strategy = make(name, **options)
    strategy.init(workers)
    return strategy


@given(n=st.integers(2, 9), period=st.integers(1, 7))
def test_a_mean_keeps_all_hosts_equally_busy(n, period):
    strategy = made("local_sgd", n, period=period)
    whole = n * strategy.theory(SIZE, STEPS)
    found = cost(strategy, 0, STEPS, whole)
    assert found.bytes == pytest.approx(whole / n)
    assert found.rounds == STEPS // period * 2 * (n - 1)


@given(g=st.integers(2, 4), k=st.integers(2, 3), period=st.integers(1, 7))
def test_machines_have_a_ring_of_their_own_in_each_step_and_one_of_all(g, k, period):
    strategy = made("hierarchical", g * k, per_machine=g, period=period)
    whole = g * k * strategy.theory(SIZE, STEPS)
    found = cost(strategy, 0, STEPS, whole)
    assert found.bytes == pytest.approx(whole / (g * k))
    assert found.rounds == STEPS * 2 * (g - 1) + STEPS // period * 2 * (g * k - 1)


@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_gossip_is_as_busy_as_its_busiest_host(n, seed):
    strategy = made("elastic_gossip", n, probability=0.3)
    busiest = whole = rounds = 0
    for step in range(1, STEPS + 1):
        plan = strategy.plan(seed, step)
        ends = [end for op in plan.before + plan.after for end in (op.i, op.j)]
        busiest += max(map(ends.count, ends), default=0)
        whole, rounds = whole + len(ends), rounds + bool(ends)
    found = cost(strategy, seed, STEPS, whole * SIZE)
    assert found.bytes == pytest.approx(busiest * SIZE)
    assert found.rounds == rounds


@pytest.mark.parametrize("n", [2, 4])
def test_the_centre_lives_with_rank_0_which_sends_to_all_others(n):
    strategy = made("easgd", n, period=4, alpha=0.2)
    assert CENTRE == -1
    sent = STEPS // 4 * 2 * (n - 1) * SIZE
    found = cost(strategy, 0, STEPS, sent)
    assert found.bytes == pytest.approx(sent / 2)


@pytest.mark.parametrize("n", [2, 4])
def test_pieces_go_out_one_by_one_and_come_back_at_once(n):
    strategy = made("ist", n, period=4, rescale=True)
    found = cost(strategy, 0, STEPS, SIZE)
    # (of equal halves: rank 0 sends the one, each other host its part of the other)
    assert found.bytes == pytest.approx(SIZE / 2 * (1 + 1 / (n - 1)), rel=0.1)


def test_who_sends_nothing_costs_nothing():
    assert cost(made("no_comm", 4), 0, STEPS, 0.0).bytes == 0
