"""What a plan costs on a cable, by other ways of counting it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.linked.predicted import Cost, cost
from parallel.strategy import make
from parallel.world.ops import CENTRE, messages

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


def edges(n, among):
    """Who sends to whom in rings of so many."""
    starts = [i // among * among for i in range(n)]
    return [(i, start + (i + 1 - start) % among) for i, start in enumerate(starts)]


def busiest(pairs, per_host):
    """How many of these messages the busiest host sends to others."""
    out = [i // per_host for i, j in pairs if i // per_host != j // per_host]
    return max(map(out.count, out), default=0)


@given(hosts=st.integers(1, 4), per_host=st.integers(1, 3), g=st.integers(1, 6))
def test_workers_of_a_host_share_its_cable(hosts, per_host, g):
    n = hosts * per_host
    if n % g or n == 1:
        g = n
    strategy = made("hierarchical", n, per_machine=g, period=4)
    found = cost(strategy, 0, STEPS, n * strategy.theory(SIZE, STEPS), per_host)
    inner = busiest(edges(n, g), per_host) * 2 * (g - 1) / g * STEPS
    outer = busiest(edges(n, n), per_host) * 2 * (n - 1) / n * (STEPS // 4) * (g < n)
    assert found.bytes == pytest.approx((inner + outer) * SIZE)
    assert (found.bytes == 0) == (found.rounds == 0) == (hosts == 1)


@given(hosts=st.integers(2, 4), per_host=st.integers(1, 3), seed=st.integers(0, 99))
def test_gossip_within_a_host_takes_no_cable(hosts, per_host, seed):
    strategy = made("gossip_pull", hosts * per_host, probability=0.4)
    whole = far = rounds = 0
    for step in range(1, STEPS + 1):
        plan = strategy.plan(seed, step)
        pairs = messages(plan.before + plan.after)
        most = busiest(pairs, per_host)
        whole, far, rounds = whole + len(pairs), far + most, rounds + bool(most)
    found = cost(strategy, seed, STEPS, whole * SIZE, per_host)
    assert (found.bytes, found.rounds) == (pytest.approx(far * SIZE), rounds)


@pytest.mark.parametrize("name", ["bf16", "top_k", "power_sgd"])
def test_codecs_cross_a_cable_as_they_are_sent(name):
    """Where each sends to each other, two of a host's two workers go to either of the others."""
    strategy = made(name, 4)
    sent = 4 * strategy.theory(SIZE, STEPS)
    shares = {"bf16": 2 * 2 / 3 / 4, "top_k": 2 * 2 / 3 / 4, "power_sgd": 1 / 4}
    assert cost(strategy, 0, STEPS, sent, 2).bytes == pytest.approx(sent * shares[name])
    assert cost(strategy, 0, STEPS, sent).bytes == pytest.approx(sent / 4)
    assert cost(strategy, 0, STEPS, sent, 4) == Cost(0.0, 0)


@pytest.mark.parametrize(("name", "options"), [("easgd", dict(alpha=0.2)), ("ist", {})])
def test_what_stands_with_rank_0_goes_to_other_hosts_only(name, options):
    strategy = made(name, 4, period=4, **options)
    alone, shared = (cost(strategy, 0, STEPS, SIZE, per_host) for per_host in (1, 2))
    # (to two others of three, and from two behind one cable, or from one)
    there, back = (1, 0) if name == "easgd" else (0.5, 0.5 / 3)
    expected = there * 2 / 3 + 2 * back
    assert shared.bytes / alone.bytes == pytest.approx(expected / (there + back), rel=0.1)
    assert cost(strategy, 0, STEPS, SIZE, 4) == Cost(0.0, 0)


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
