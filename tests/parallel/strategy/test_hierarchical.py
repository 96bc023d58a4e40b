"""Machines: all-reduce within, local SGD between; means of groups, bytes, and wrappers."""

import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parallel import DataParallel, World, train
from parallel.identities import averaging as identities
from parallel.plans.smoke import Every
from parallel.replicas.executor import CARRIES, asked
from parallel.strategy import Strategy, make, of
from parallel.strategy.hierarchical import Hierarchical
from parallel.world.codecs import Bfloat16
from parallel.world.comm import Comm
from parallel.world.ops import AllReduce, Exchange, Round, check, traffic
from tests.drawn import examples

DATA = identities.task()


@given(
    st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(0, 5), st.integers(1, 30)
)
def test_bytes_are_those_of_theory_and_those_between_machines_a_part(g, k, period, phase, steps):
    strategy = Hierarchical(per_machine=g, period=period, phase=phase)
    strategy.init(g * k)
    plans = [check(strategy.plan(0, step), g * k) for step in range(1, steps + 1)]
    sent = sum(traffic(p.before, g * k, 8.0) + traffic(p.after, g * k, 8.0) for p in plans)
    whole, between = g * k * strategy.theory(8.0, steps), strategy.between(8.0, steps)
    assert sent == pytest.approx(whole, rel=1e-14)
    assert 0 <= between <= whole * (1 + 1e-14)
    if g == 1:
        assert between == pytest.approx(whole, rel=1e-14)


@examples(40)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
def test_a_mean_of_groups_is_the_mean_of_each_group_alone(g, k, seed):
    draw = torch.Generator().manual_seed(seed)
    rows = {"w": torch.randn(g * k, 2, 3, generator=draw, dtype=torch.float64)}
    counts = torch.randint(0, 4, (g * k,), generator=draw).tolist()
    comm = Comm(g * k)
    found = comm.mean(rows, counts, among=g)["w"]
    for first in range(0, g * k, g):
        own = slice(first, first + g)
        alone = Comm(g).mean({"w": rows["w"][own]}, counts[own])["w"]
        assert torch.equal(found[own], alone)
    assert comm.sent == traffic((AllReduce("gradients", among=g),), g * k, 6 * 8)


def test_what_is_not_finite_stays_in_its_group():
    rows = {"w": torch.tensor([[1.0], [float("nan")], [2.0], [4.0]])}
    found = Comm(4).mean(rows, [1] * 4, finite=False, among=2)["w"]
    assert torch.isnan(found[:2]).all()
    assert found[2:].flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (AllReduce("gradients", among=3), "4 workers are not divided into groups of 3"),
        (AllReduce("gradients", among=-2), "not divided into groups of -2"),
        (AllReduce("gradients", among=2.0), "not divided into groups of 2.0"),  # pyright: ignore
        (AllReduce("state", among=2), 'of groups, "gradients" can be averaged, and no state'),
    ],
)
def test_groups_that_cannot_be(op, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        check(Round((op,)), 4)
    with pytest.raises(ValueError, match="stands alone"):
        check(Round((AllReduce("gradients", among=2), Exchange(0, 1))), 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(per_machine=4), "per_machine=4: take per_machine from 1, 2, 3, 6, or 8 workers"),
        (dict(per_machine=12), "per_machine=12: take per_machine from 1, 2, 3, 6, or 12 workers"),
        (dict(per_machine=0), "per_machine is a number of workers, 1 or more, got 0"),
        (dict(per_machine=2.0), "per_machine is a number of workers, 1 or more, got 2.0"),
        (dict(period=0), "period is a number of steps, 1 or more, got 0"),
        (dict(per_machien=2), "did you mean 'per_machine'"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make("hierarchical", **options).init(6)


@pytest.mark.parametrize(
    "options",
    [dict(per_machine=4), dict(per_machine=3), dict(per_machine=1), dict(weighted=False, phase=1)],
)
def test_other_options_are_the_oracle_too(options):
    """Of 3 workers to a machine there is one machine."""
    assert identities.by_oracle(lambda: Hierarchical(period=3, **options)) <= 1e-12


class Pairs(Strategy):
    """Somebody's own: pairs in every step but each fourth, which has all; weights in each third."""

    per_machine = 2

    def plan(self, seed, step):
        if self.workers == 1:
            return Round()
        mean = AllReduce("gradients", among=2 if step % 4 else 0)
        return Round((mean,), () if step % 3 else (AllReduce("state"),))


def test_groups_in_a_plan_of_ones_own_are_the_oracle_too():
    assert identities.by_oracle(Pairs) <= 1e-12


@pytest.mark.parametrize(
    "op", [AllReduce("gradients", among=2), AllReduce("gradients", Bfloat16())]
)
def test_groups_and_codecs_need_all_workers(op):
    class Own(Strategy):
        sends = op.codec or "gradients"

        def plan(self, seed, step):
            return Round((op,))

    comm, strategy = Comm(4), Own()
    strategy.init(4)
    assert asked(strategy, comm, 0, 1, Round(), CARRIES).gradients == op
    comm.elastic = True
    with pytest.raises(ValueError, match=r"needs all workers.*take elastic=False"):
        asked(strategy, comm, 0, 1, Round(), CARRIES)


def step(net, optimizer, parts, reduction="mean"):
    optimizer.zero_grad()
    for part in parts:
        F.cross_entropy(net(DATA.train_x[part]), DATA.train_y[part], reduction=reduction).backward()
    optimizer.step()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_wrapper_by_hand(reduction):
    """A machine is a bare model with its part of the batch; two of them meet after steps 2, 4, ..."""
    words = dict(workers=4, iterations=2, loss_reduction=reduction)
    net = DataParallel("hierarchical", model=identities.net(), **words)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    bare = [identities.net(), identities.net()]
    own = [torch.optim.SGD(m.parameters(), lr=0.03, momentum=0.9) for m in bare]
    for k in range(1, 7):
        index = torch.arange(8) + k
        step(net, optimizer, [index], reduction)
        for model, o, part in zip(bare, own, index.split(4), strict=True):
            step(model, o, [part], reduction)
        if k % 2 == 0:
            with torch.no_grad():
                for a, b in zip(*(m.parameters() for m in bare), strict=True):
                    a.copy_((a + b) / 2)
                    b.copy_(a)
    for i, replica in enumerate(net.replicas):
        assert identities.apart(replica.state_dict(), bare[i // 2].state_dict()) <= 1e-12


def test_machines_count_by_the_samples_of_all_backwards():
    net = DataParallel("hierarchical", model=identities.net(), workers=4, iterations=3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    step(net, optimizer, [torch.arange(7), torch.arange(5)])  # 2 2 2 1, and 2 1 1 1
    assert net.executor.seen == [4.0, 3.0, 3.0, 2.0]
    step(net, optimizer, [torch.arange(4)])
    assert net.executor.seen == [5.0, 4.0, 4.0, 3.0]
    step(net, optimizer, [torch.arange(4)])
    assert net.executor.seen == [0.0] * 4


def test_an_initializer_starts_all_alike():
    start = lambda m: nn.init.normal_(m[0].weight)  # noqa: E731
    net = DataParallel("hierarchical", model=identities.net(), workers=4, initializer=start)
    assert all(torch.equal(r[0].weight, net.replicas[0][0].weight) for r in net.replicas)


def test_rows_tell_bytes_between_machines():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    words = dict(world=World.sim(4), steps=96, optimizer=partial(torch.optim.SGD, lr=0.5))
    *_, row = train(net, "digits", strategy=of(Every("hierarchical", period=8)), **words)
    size = 4 * sum(p.numel() for p in net.parameters())
    assert row["bytes_payload"] == row["bytes_theory"] == 96 * 4 * size + 96 // 8 * 6 * size
    assert row["bytes_between"] == 96 // 8 * 2 * 1.5 * size
    assert row["test_accuracy"] > 0.8
    *_, row = train(net, "digits", strategy="all_reduce", **words)
    assert "bytes_between" not in row
