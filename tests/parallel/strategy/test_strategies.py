"""Strategies: plans as data, the identities by `verify`, and that these can tell wrong from right."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parallel import STRATEGIES, Strategy, verify
from parallel.identities import averaging as identities
from parallel.identities.chosen import SETTINGS
from parallel.strategy import make
from parallel.strategy.averaging import LocalSGD
from parallel.strategy.gossip import ElasticGossip, GossipPull, _shares, largest
from parallel.world.comm import Comm, NotFinite
from parallel.world.ops import (
    CENTRE,
    AllReduce,
    Exchange,
    Push,
    Receive,
    Round,
    Send,
    check,
    messages,
    traffic,
)
from tests.drawn import examples


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_identity_holds(name):
    """W = 1 is SGD, simulation is the plain-Python oracle, resume to the bit, bytes, ..."""
    found = verify(name)
    assert len(found) >= 5
    assert [f for f in found if not f.ok] == []
    kinds = {f.identity: f.kind for f in found}
    assert kinds["saved and loaded = uninterrupted"] == "bitwise"
    if name in ("easgd", "diloco"):
        assert "one worker is plain SGD" not in kinds
    else:
        assert kinds["one worker is plain SGD"] == "bitwise"


@pytest.mark.parametrize(
    "options",
    [
        dict(weights="thesis", alpha=0.5),
        dict(matching=True),
        dict(probability=0.4, period=3),
        dict(penalty=2.0),
        dict(average=("params", "optimizer_state")),
    ],
)
def test_options_of_elastic_gossip(options):
    """Period and probability together; what is averaged; all against the oracle but the last."""
    found = {f.identity: f for f in verify(lambda: ElasticGossip(**options))}
    bad = [f for f in found.values() if not f.ok]
    if "optimizer_state" in options.get("average", ()):
        bad = [f for f in bad if "oracle" not in f.identity]  # (the oracle moves weights only)
    assert bad == []


def test_averaged_momentum_is_the_mean():
    a = identities.trained(make("local_sgd", period=3, average=("params", "optimizer_state")))
    rows = a.members.get("optimizer_state", a.executor.optimizer)
    assert {k.split("/")[1] for k in rows} == {"momentum_buffer"}
    for value in rows.values():
        assert torch.equal(value[0], value[1])
    b = identities.trained(make("local_sgd", period=3))
    assert any(
        not torch.equal(v[0], v[1])
        for v in b.members.get("optimizer_state", b.executor.optimizer).values()
    )
    assert a.comm.sent == 2 * b.comm.sent


def test_running_statistics_are_averaged_when_asked_and_counters_never():
    def normed(rank):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()

    def fit(average):
        sgd = partial(torch.optim.SGD, lr=0.1)
        from parallel.training.training import Training

        words = normed, identities.task(), torch.nn.functional.cross_entropy, sgd
        strategy = make("local_sgd", period=2, average=average)
        found = Training(*words, strategy, Comm(3), batch_size=9, seed=1)
        for _ in range(2):
            found.step()
        return found

    apart = fit(("params",)).members.get("float_buffers")["1.running_mean"]
    same = fit(("params", "float_buffers")).members.get("float_buffers")["1.running_mean"]
    assert not torch.equal(apart[0], apart[1])
    assert torch.equal(same[0], same[1])
    state = fit(("params", "float_buffers")).executor.consensus()
    assert state["1.num_batches_tracked"].dtype == torch.int64


# Broken on purpose: each must be caught


@dataclass
class Lopsided(ElasticGossip):
    """One end forgets to move."""

    def mixing(self, ops):
        found = super().mixing(ops)
        first = min(found)
        return {i: row for i, row in found.items() if i != first}


@dataclass
class Late(LocalSGD):
    """Says H, averages at H + 1."""

    def plan(self, seed, step):
        return super().plan(seed, step - 1)


@dataclass
class Forgetful(GossipPull):
    """Its choice depends on how often it was asked."""

    def plan(self, seed, step):
        self.asked = getattr(self, "asked", 0) + 1
        return super().plan(seed, step + self.asked)


@dataclass
class Cheap(LocalSGD):
    """Promises less than it sends."""

    def theory(self, size, steps=1):
        return super().theory(size, steps) / 2


@dataclass
class Unanswered(Strategy):
    """A send that nobody receives."""

    def plan(self, seed, step):
        return Round(after=(Send(0, 1),))


@dataclass
class Ring(Strategy):
    """A strategy of a third party: thirds with both neighbours, after the step."""

    def plan(self, seed, step):
        n = self.workers
        return Round(after=tuple(Exchange(i, (i + 1) % n) for i in range(n)) if n > 2 else ())

    def rows(self, ops):
        n = self.workers
        return {i: {i: 1 / 3, (i - 1) % n: 1 / 3, (i + 1) % n: 1 / 3} for i in range(n)}

    def theory(self, size, steps=1):
        return 2 * size * steps if self.workers > 2 else 0.0


@pytest.mark.parametrize(
    ("broken", "identity"),
    [
        (lambda: Lopsided(weights="thesis"), "the sum is kept where nothing is learned"),
        (lambda: Lopsided(weights="thesis"), "simulation = plain-Python oracle"),
        (lambda: Late(period=4), "simulation = plain-Python oracle"),
        (lambda: Forgetful(probability=0.5), "plans are matched and the same when asked again"),
        (lambda: Cheap(period=4), "bytes planned = formula, in the long run"),
        (Unanswered, "plans are matched and the same when asked again"),
    ],
)
def test_what_is_broken_is_found(broken, identity):
    found = {f.identity: f for f in verify(broken)}
    assert not found[identity].ok


def test_verify_takes_a_strategy_of_somebody_else():
    found = verify(Ring())
    assert [f for f in found if not f.ok] == []
    assert {f.subject for f in found} == {"Ring"}


@pytest.mark.parametrize("n", [3, 4, 8, 9])
def test_a_ring_contracts_at_its_second_eigenvalue(n):
    """(1 + 2 cos(2 pi / n)) / 3 per round, on the slowest start."""
    ring = Ring()
    ring.init(n)
    ops = ring.plan(0, 1).after
    w = torch.cos(2 * torch.pi * torch.arange(n, dtype=torch.float64) / n).view(n, 1)
    for _ in range(5):
        new = Comm(n).combine(ops, {"w": w}, ring.mixing(ops))["w"]
        rate = (1 + 2 * np.cos(2 * np.pi / n)) / 3
        assert torch.allclose(new, rate * w, atol=1e-14)
        w = new


# Plans

workers = st.integers(1, 9)


@examples(60)
@given(workers, st.integers(0, 2**31), st.sampled_from(sorted(STRATEGIES)), st.data())
def test_plans_of_any_size_are_matched(n, seed, name, data):
    options = dict(SETTINGS.get(name, {}))
    if "probability" in options:
        options["probability"] = data.draw(st.floats(0.01, 1))
    if name == "easgd":
        options["alpha"] = 1 / n
    if name == "hierarchical":
        fit = [k for k in range(1, n + 1) if n % k == 0]
        options["per_machine"] = data.draw(st.sampled_from(fit))
    strategy = make(name, **options)
    strategy.init(n)
    for step in range(1, 12):
        plan = check(strategy.plan(seed, step), n)
        assert plan == strategy.plan(seed, step)
        for i, k in messages(plan.before):
            assert i != k
        if name.startswith("gossip") or name == "elastic_gossip":
            rows = strategy.mixing(plan.before) if plan else {}
            for row in rows.values():
                assert sum(row.values()) == pytest.approx(1)


@examples(40)
@given(st.integers(2, 12), st.integers(0, 10**6), st.floats(0.01, 0.5))
def test_metropolis_contracts_on_any_graph(n, seed, alpha):
    """I - L with alpha up to one half has no eigenvalue outside [-1, 1]; sums are kept."""
    s = ElasticGossip(alpha=alpha)
    s.init(n)
    ops = s.plan(seed, 1).before
    rows = s.mixing(ops)
    matrix = np.eye(n)
    for i, row in rows.items():
        matrix[i] = [row.get(k, 0.0) for k in range(n)]
    assert np.allclose(matrix, matrix.T)
    assert np.allclose(matrix.sum(0), 1)
    assert np.linalg.eigvalsh(matrix).min() > -1
    assert not s.expands(ops)
    assert (
        largest(s.springs(tuple(messages(ops))), n)
        >= np.linalg.eigvalsh(np.eye(n) - matrix)[-1] - 1e-9
    )


def test_a_hub_of_three_occurs_in_44_per_cent_of_rounds_and_is_told():
    """Four workers that all start talks, alpha 0.5, the original rule."""
    s = ElasticGossip(weights="thesis", alpha=0.5)
    s.init(4)
    hubs = unstable = 0
    for step in range(1, 3001):
        ops = s.plan(11, step).before
        talks = messages(ops)
        hubs += max(sum(i == k for i, _ in talks) for k in range(4)) == 3
        unstable += s.expands(ops)
    assert 0.41 < hubs / 3000 < 0.47
    assert unstable > hubs
    (note,) = s.notes(3000, unstable)
    assert "alpha * lambda_max >= 2" in note
    assert f"{unstable} of 3000 rounds" in note
    expansive = {(i, k): 0.6 for k in (1, 2, 3) for i, k in ((0, k), (k, 0))}
    assert largest(expansive, 4) == pytest.approx(2.4)


@pytest.mark.parametrize("name", ["gossip_pull", "gossip_push", "elastic_gossip"])
def test_bytes_in_theory_are_those_of_many_rounds(name):
    """2 p - p^2 / (n - 1) for elastic gossip, p for the others; and where near peers are likelier."""
    near = dict(probability=1.0, penalty=3.0)  # (8 % less for elastic gossip than all alike)
    for options in (dict(probability=0.7), dict(probability=0.5, period=2), near):
        s = make(name, **options)
        s.seed = 3
        s.init(5)
        steps = 20_000
        sent = sum(traffic(s.plan(3, k).before, 5, 1.0) for k in range(1, steps + 1)) / 5
        assert sent == pytest.approx(s.theory(1.0, steps), rel=0.015)


def test_near_peers_are_picked_more_often_and_never_oneself():
    near = _shares(4, 6, 3.0)
    shots = np.random.default_rng(0).random(4000)
    for i in range(6):
        picked = np.searchsorted(near[i], shots, side="right")
        assert picked.max() <= 5
        assert i not in picked
        assert np.searchsorted(near[i], np.nextafter(1, 0), side="right") != i
    even = np.searchsorted(_shares(4, 6, None)[0], shots, side="right")
    counts = np.bincount(even, minlength=6)[1:]
    assert counts.min() > 700


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Round((Send(0, 1),)), r"Send\(0, 1\) has no Receive\(1, 0\)"),
        (Round((Receive(0, 1),)), "0 would wait"),
        (Round((Push(0, 0),)), "sends to itself"),
        (Round((Push(0, 4),)), "a worker that is not there; there are 4"),
        (Round((Push(0, 1), Push(0, 1))), "2 messages from 0 to 1"),
        (Round((Exchange(0, 1), Push(1, 0))), "2 messages from 1 to 0"),
        (Round(("talk",)), "is no operation"),  # pyright: ignore
    ],
)
def test_plans_that_cannot_end_are_refused(plan, text):
    with pytest.raises(ValueError, match=text):
        check(plan, 4)


def test_traffic_counts_what_leaves_a_place():
    assert traffic((Exchange(0, CENTRE), Exchange(1, CENTRE)), 2, 10.0) == 20.0
    assert traffic((AllReduce("state"),), 4, 10.0) == 60.0
    assert traffic((Send(0, 1), Receive(1, 0)), 4, 10.0) == 10.0


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("elastic_gossip", dict(alpha=0.0), r"alpha must be in \(0, 1\]"),
        ("elastic_gossip", dict(alpha=1.5), r"alpha must be in \(0, 1\]"),
        ("elastic_gossip", dict(weights="thesiss"), "did you mean 'thesis'"),
        ("gossip_pull", dict(probability=0), r"probability must be in \(0, 1\]"),
        ("gossip_push", dict(period=0), "period is a number of steps"),
        ("local_sgd", dict(period=0), "period is a number of steps"),
        ("ring", dict(period=0), "period is a number of steps"),
        ("post_local_sgd", dict(switch=-1), "switch is the number of a step"),
        ("easgd", dict(alpha=0.5), "take alpha <= 0.25"),
        ("ist", dict(period=0), "period is a number of steps"),
        ("ist", dict(rescale="no"), 'rescale is "auto", True or False'),
        ("local_sgd", dict(average=("parms",)), "did you mean 'params'"),
        ("local_sgd", dict(perod=3), "did you mean 'period'"),
        ("localsgd", {}, "did you mean 'local_sgd'"),
        ("easgd", dict(average=("optimizer_state",)), "centre has no optimizer"),
    ],
)
def test_wrong_options(name, options, text):
    with pytest.raises(ValueError, match=text):
        make(name, **options).init(4)


def test_what_is_frozen_stays_frozen():
    model = identities.net()
    model[0].requires_grad_(False)
    from parallel.training.training import Training

    sgd = partial(torch.optim.SGD, lr=0.1, weight_decay=0.1)
    words = model, identities.task(), torch.nn.functional.cross_entropy, sgd
    for name in ("all_reduce", "local_sgd", "elastic_gossip"):
        found = Training(*words, make(name), Comm(3), batch_size=7, seed=5)
        for _ in range(6):
            found.step()
        state = found.executor.consensus()
        assert torch.allclose(state["0.weight"], model[0].weight, rtol=0, atol=1e-14)
        assert not torch.equal(state["2.weight"], model[2].weight)


def test_nan_is_not_sent():
    rows = {"w": torch.tensor([[1.0], [float("nan")], [2.0]])}
    with pytest.raises(NotFinite, match="worker 1 has NaN or infinity in w"):
        Comm(3).mean(rows, [1, 1, 1])
    with pytest.raises(NotFinite, match="worker 1"):
        Comm(3).combine((Push(1, 0),), rows, {0: {0: 0.5, 1: 0.5}})
    big = {"w": torch.full((3, 2), 3e38)}  # finite, though their sum is not
    Comm(3).mean(big, [1, 1, 1])
