"""Push-sums: what is kept, what a mass does, how they differ from mixing without one."""

import copy
import re
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parallel import DataParallel, World, train
from parallel.identities import averaging as identities
from parallel.identities.pushes import Massless
from parallel.replicas.mass import Mass
from parallel.strategy import Strategy, make
from parallel.strategy.push_sum import PushSum
from parallel.world.comm import Comm
from parallel.world.ops import Push, Round, messages, traffic
from tests.drawn import examples

GRAPHS = st.sampled_from(["exponential", "ring"])


def made(n, **options):
    strategy = PushSum(**options)
    strategy.init(n)
    return strategy


def matrix(rows, n):
    found = np.eye(n)
    for i, row in rows.items():
        found[i] = [row.get(k, 0.0) for k in range(n)]
    return found


@examples(60)
@given(st.integers(1, 17), GRAPHS, st.floats(0.05, 1), st.integers(1, 3), st.integers(0, 999))
def test_columns_add_up_to_one_and_ratios_mix_by_rows_that_do(n, graph, p, period, seed):
    """Numerators and masses by plain matrices; ratios by what the executor is given."""
    strategy = made(n, graph=graph, probability=p, period=period)
    mass, draw = Mass(None, Comm(n)), np.random.default_rng(seed)
    x, m = draw.normal(size=(n, 2)), np.ones(n)
    z = x.copy()
    for step in range(1, 13):
        rows = strategy.mixing(strategy.plan(seed, step).after)
        push, ratios = matrix(rows, n), matrix(mass.rows(rows), n)
        assert push.min() >= 0
        np.testing.assert_array_equal(push.sum(0), 1)
        # (each sum has three terms at most)
        np.testing.assert_allclose(ratios.sum(1), 1, rtol=0, atol=4e-16)
        x, m, z = push @ x, push @ m, ratios @ z
        np.testing.assert_allclose(mass.each, m, rtol=1e-15 * step)
        assert m.min() > 0
    np.testing.assert_allclose(m.sum(), n, rtol=1e-14)
    # a convex combination of numbers below 5, with a few roundings in each of 12 rounds
    np.testing.assert_allclose(z, x / m[:, None], rtol=0, atol=12 * 8 * 5 * 2.0**-52)


@given(st.integers(1, 17), GRAPHS, st.integers(1, 4), st.integers(1, 40))
def test_if_nobody_skips_masses_stay_one_and_bytes_are_those_of_theory(n, graph, period, step):
    strategy, mass = made(n, graph=graph, period=period), Mass(None, Comm(n))
    for k in range(1, step + 1):
        mass.rows(strategy.mixing(strategy.plan(0, k).after))
    assert mass.each == [1.0] * n
    sent = sum(traffic(strategy.plan(0, k).after, n, 8.0) for k in range(1, step + 1))
    assert sent == n * strategy.theory(8.0, step)


@given(st.integers(1, 17), st.integers(1, 40))
def test_if_nobody_skips_the_mixing_is_that_of_the_exponential_graph(n, step):
    other = make("exponential")
    other.init(n)
    before = other.mixing(other.plan(0, step).before)
    assert made(n).mixing(made(n).plan(0, step).after) == before


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("kind", [PushSum, Massless])
def test_workers_agree_with_masses_on_the_mean_and_without_on_something_else(n, kind):
    strategy, x, m = kind(probability=0.6), np.arange(n) ** 2.0, np.ones(n)
    strategy.init(n)
    begin = x.mean()
    for step in range(1, 1001):
        push = matrix(strategy.mixing(strategy.plan(3, step).after), n)
        x, m = push @ x, push @ m
    # (a mean of ratios whose sums are kept: 1000 rounds of n roundings at most)
    bound = 1000 * n * 2.0**-53 * n**2
    assert np.ptp(x / m) < bound
    assert (abs((x / m).mean() - begin) > 0.01) == (kind is Massless)
    assert (abs((x / m).mean() - begin) < bound) == (kind is PushSum)


def test_a_ring_has_one_direction_and_some_skip():
    assert messages(made(5, graph="ring").plan(0, 1).after) == [(i, (i + 1) % 5) for i in range(5)]
    sent = [len(messages(made(5, probability=0.3).plan(0, k).after)) for k in range(1, 2001)]
    # 10,000 draws of variance 0.21: five standard deviations
    assert abs(sum(sent) - 3000) < 5 * (10_000 * 0.21) ** 0.5


@pytest.mark.parametrize("options", [dict(graph="ring", probability=0.4), dict(period=2)])
def test_other_options_are_the_oracle_too(options):
    assert identities.by_oracle(lambda: PushSum(**options)) <= 1e-12


class Thirds(Strategy):
    """Somebody's own: who sends keeps two thirds; one message before the step, one after it."""

    push_sum = True
    elastic = False

    def plan(self, seed, step):
        n = self.workers
        to = lambda k: (Push(k % n, (k + 1) % n),)  # noqa: E731
        return Round(to(step), to(step // 2)) if n > 1 else Round()

    def mixing(self, ops):
        ((source, target),) = messages(ops)
        return {source: {source: 2 / 3}, target: {target: 1.0, source: 1 / 3}}


def test_a_push_sum_of_ones_own_is_what_its_columns_say():
    assert identities.by_oracle(Thirds) <= 1e-12
    assert len({*identities.trained(Thirds()).executor.states.mass.each}) > 1


def test_a_wrapper_makes_steps_of_numerators():
    """By hand: x and m of each replica, gradients at x / m, and the plan's messages."""
    data, options = identities.task(), dict(probability=0.5)
    net = DataParallel("push_sum", model=identities.net(), workers=3, seed=4, **options)
    wrapped = torch.optim.SGD(net.parameters(), **identities.MOMENTUM)
    plan = made(3, **options)
    zs = [identities.net() for _ in range(3)]
    optimizers = [torch.optim.SGD(z.parameters(), **identities.MOMENTUM) for z in zs]
    m = [1.0] * 3
    for step in range(1, 13):
        index = torch.arange(9) + step
        wrapped.zero_grad()
        F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
        wrapped.step()
        x = []
        for z, o, own, mass in zip(zs, optimizers, index.split(3), m, strict=True):
            old = [p.detach().clone() for p in z.parameters()]
            o.zero_grad()
            F.cross_entropy(z(data.train_x[own]), data.train_y[own]).backward()
            o.step()
            x.append(
                [mass * a + (p.detach() - a) for a, p in zip(old, z.parameters(), strict=True)]
            )
        push = matrix(plan.mixing(plan.plan(4, step).after), 3)
        m = (push @ m).tolist()
        for i, z in enumerate(zs):
            for k, p in enumerate(z.parameters()):
                p.data.copy_(sum(push[i, j] * x[j][k] for j in range(3)) / m[i])
    assert len({*m}) > 1
    for replica, z in zip(net.replicas, zs, strict=True):
        assert identities.apart(replica.state_dict(), z.state_dict()) <= 1e-12
    states = [z.state_dict() for z in zs]
    mean = {k: sum(a * s[k] for a, s in zip(m, states, strict=True)) / 3 for k in states[0]}
    assert identities.apart(net.state_dict(), mean) <= 1e-12


def loop(net, optimizer, steps):
    for step in steps:
        x, y = torch.randn(9, 4, generator=torch.Generator().manual_seed(step)), torch.arange(9) % 3
        optimizer.zero_grad()
        F.cross_entropy(net(x.to(net.replicas[0].weight)), y).backward()
        optimizer.step()


def wrapper():
    torch.manual_seed(0)
    net = DataParallel("push_sum", model=nn.Linear(4, 3), workers=3, probability=0.5)
    return net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)


def test_a_wrapper_goes_on_to_the_bit_with_its_masses():
    net, optimizer = wrapper()
    loop(net, optimizer, range(5))
    state = copy.deepcopy(net.training_state(optimizer))
    assert len({*state["team"]["mass"]}) > 1
    again, other = wrapper()
    again.load_training_state(state, other)
    for one in ((net, optimizer), (again, other)):
        loop(*one, range(5, 10))
    assert identities.apart(net.replicas.state_dict(), again.replicas.state_dict()) == 0


def test_masses_begin_at_one_where_a_state_has_none():
    """As of a strategy without masses, or of a release that knew no masses."""
    other = identities.trained(make("exponential"), steps=2).state_dict()
    older = copy.deepcopy(other)
    del older["team"]["mass"], older["team"]["coder"]
    for state in (other, older):
        found = identities.trained(PushSum(probability=0.6))
        assert found.executor.states.mass.each != [1.0] * 3
        found.load_state_dict(state)
        assert found.executor.states.mass.each == [1.0] * 3


def test_a_loaded_model_is_a_new_start_and_a_net_may_become_float64():
    net, optimizer = wrapper()
    loop(net, optimizer, range(5))
    assert net.executor.states.mass.each != [1.0] * 3
    net.load_state_dict(net.state_dict())
    assert net.executor.states.mass.each == [1.0] * 3
    net.double()
    loop(net, optimizer, range(5))
    assert {p.dtype for p in net.parameters()} == {torch.float64}


def test_statistics_and_momentum_are_mixed_with_the_weights_where_asked():
    """Of two workers that both push, each has the mean of all."""

    def model(rank=0):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()

    every = ("params", "float_buffers", "optimizer_state")
    found = identities.training(make("push_sum", average=every), workers=2, model=model)
    for _ in range(3):
        found.step()
    for kind in every:
        rows = found.members.get(kind, found.executor.optimizer)
        assert rows
        for value in rows.values():
            torch.testing.assert_close(value[0], value[1], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(graph="exponentail"), "did you mean 'exponential'"),
        (dict(probability=0.0), "probability must be in (0, 1], got 0.0"),
        (dict(period=0), "period is a number of steps, 1 or more, got 0"),
        (dict(average="float_buffers"), 'leaves them out: add "params"'),
        (dict(probabilty=0.5), "did you mean 'probability'"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make("push_sum", **options).init(3)


def test_it_needs_all_workers():
    parts = identities.net, identities.task(), F.cross_entropy, partial(torch.optim.SGD, lr=0.1)
    with pytest.raises(ValueError, match="PushSum cannot go on without a worker"):
        train(*parts, "push_sum", World.procs(3, elastic=True), steps=1)


def test_it_learns_digits_where_some_skip():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    words = dict(world=World.sim(5), steps=96, optimizer=partial(torch.optim.SGD, lr=0.5))
    *_, row = train(net, "digits", strategy=PushSum(probability=0.9), **words)
    assert row["test_accuracy"] > 0.8
    assert row["bytes_payload"] == row["bytes_planned"] > 0
