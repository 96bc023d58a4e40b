"""Simulated workers against plain loops, where a shortcut of the stack might tell another number."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from parallel import World, train
from parallel.identities import averaging as identities
from parallel.replicas.replicas import Stacked
from parallel.strategy import make
from parallel.strategy.gossip import ElasticGossip
from parallel.training.training import Training
from parallel.world.comm import Comm, NotFinite
from parallel.world.ops import Exchange, Round
from parallel.world.run import run
from tests.parallel.training.simulated import MOMENTUM, OPTIONS, same, simulated

EVEN = dict(batch_size=6, seed=5)  # (a batch norm refuses a single sample)


WEIGHTS = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(weight=WEIGHTS),
        nn.CrossEntropyLoss(ignore_index=2),
        nn.CrossEntropyLoss(reduction="sum"),
        partial(F.cross_entropy, weight=WEIGHTS),
        partial(F.cross_entropy, label_smoothing=0.2),
    ],
)
def test_any_loss_is_each_workers_own(loss):
    model = identities.net()
    optimizer = partial(torch.optim.SGD, lr=0.02)
    same(simulated(model, loss, optimizer), model, loss=loss, optimizer=optimizer)


def normed(momentum=0.1):
    torch.manual_seed(4)
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=momentum), nn.ReLU(), nn.Linear(6, 3)
    return nn.Sequential(*layers).double()


class Branch(nn.Module):
    """vmap refuses it."""

    def forward(self, x):
        return x if x.sum() > 0 else 2 * x


class Own(nn.Linear):
    """Has a method that is called like ours."""

    def stack(self):
        return self.weight


@pytest.mark.parametrize(
    "model",
    [normed(None), nn.Sequential(identities.net(), Branch()), nn.Sequential(Own(4, 3)).double()],
)
def test_what_cannot_be_stacked_is_looped(model):
    same(simulated(model, words=EVEN), model)


def test_hooks_are_heard():
    model = identities.net()
    model[0].register_forward_hook(lambda *args: 0 * args[2])
    same(simulated(model), model)


def test_counters_count():
    """Steps that batch norms have seen, in the model that is handed out."""
    session = simulated(normed(), name="local_sgd", period=2, steps=8, words=EVEN)
    assert isinstance(session.members, Stacked)
    assert int(session.executor.consensus()["1.num_batches_tracked"]) == 8
    session = simulated(normed(), name="ist", period=2, steps=8, words=EVEN)
    assert int(session.executor.consensus()["1.num_batches_tracked"]) == 8


class Spare(nn.Module):
    """A layer that no loss reaches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.used, self.spare = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize("name", ["no_comm", "all_reduce", "local_sgd"])
def test_what_no_loss_reaches_stays(name):
    """Weight decay moves a gradient of zero, and must not meet one."""
    model = Spare().double()
    found = simulated(model, name=name).executor.consensus()
    assert torch.equal(found["spare.weight"], model.spare.weight)
    assert not torch.equal(found["used.weight"], model.used.weight)


def spare_run(comm, name, options, size):
    """As a process: with batches in which the last ranks have nothing."""
    words = Spare().double(), identities.task(), F.cross_entropy, MOMENTUM, make(name, **options)
    session = Training(*words, comm, batch_size=size, seed=5)
    for _ in range(8):
        session.step()
    yield session.executor.consensus()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("all_reduce", {}),
        ("local_sgd", dict(period=3, average=("params", "optimizer_state"))),
        ("elastic_gossip", {}),
    ],
)
def test_idle_ranks_and_what_no_loss_reaches_are_alike_in_processes(name, options):
    (here,) = run(World.sim(3), spare_run, name, options, 7)
    (there,) = run(World.procs(3, timeout=20), spare_run, name, options, 7)
    assert identities.apart(here, there) < 1e-12


def test_the_training_loss_is_by_samples():
    """The same in both worlds, where workers have different numbers of them."""
    words = identities.net(), identities.task(), F.cross_entropy, MOMENTUM, "local_sgd"
    losses = [
        [row["train_loss"] for row in train(*words, world=world, steps=8, batch_size=5, seed=5)]
        for world in (World.sim(2), World.procs(2, timeout=20))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_nan_in_a_subnet_is_refused():
    session = simulated(identities.net(), name="ist", period=4, steps=3)
    session.members.get("params")["2.weight"][1].fill_(float("nan"))
    with pytest.raises(NotFinite, match=r"worker 1 has NaN or infinity"):
        session.step()


def test_nan_is_no_equality():
    nan = torch.tensor(float("nan"))
    zero = {"a": torch.zeros(1), "b": torch.zeros(1)}
    assert identities.apart(zero, zero | {"b": nan}) == float("inf")
    assert identities.furthest([0.0, float("nan")]) == float("inf")


def test_shared_weights_have_the_centre_under_both_names():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).double()
    model[2].weight = model[0].weight
    found = simulated(model, name="easgd", alpha=0.2).executor.consensus()
    assert torch.equal(found["0.weight"], found["2.weight"])


def test_a_table_that_a_strategy_keeps_is_left_as_it_is():
    class Kept(ElasticGossip):
        def rows(self, ops):
            return self.table

    strategy = Kept()
    strategy.table = {0: {0: 0.5, 1: 0.5}, 1: {0: 0.5, 1: 0.5}}
    strategy.plan = lambda seed, step: make_plan()
    session = Training(
        identities.net(), identities.task(), F.cross_entropy, MOMENTUM, strategy, Comm(2), **OPTIONS
    )
    session.step()
    assert strategy.table == {0: {0: 0.5, 1: 0.5}, 1: {0: 0.5, 1: 0.5}}


def make_plan():
    return Round(before=(Exchange(0, 1),))


def test_bytes_in_theory_leave_out_what_is_not_sent():
    """Frozen weights have no gradient; a period that is not over has not been."""
    model = identities.net()
    model[0].requires_grad_(False)
    session = simulated(model, name="all_reduce")
    assert session.comm.workers * session.theory() == session.comm.sent
    for name in ("gossip_pull", "gossip_push", "elastic_gossip"):
        session = simulated(identities.net(), name=name, period=4, steps=7)
        rounds = make(name, period=1)
        rounds.init(2)
        assert session.theory() == rounds.theory(session.executor.states.size("state"), 1)


def test_a_strategy_with_objects_inside_is_one_thing_in_all_processes():
    """Whose address stands in its repr."""
    strategy = make("no_comm")
    found = []
    for _ in range(2):
        strategy.average = ("params",)
        strategy.__class__ = type("Odd", (type(strategy),), {"__repr__": lambda s: repr(object())})
        words = identities.net(), identities.task(), F.cross_entropy, MOMENTUM, strategy
        found.append(Training(*words, Comm(2), **OPTIONS).digest)
    assert found[0] == found[1]


def test_data_may_be_ones_own():
    x, y = torch.randn(12, 3), torch.randint(2, (12,))
    data = Data("mine", "none", x, y, x, y)
    *_, row = train(nn.Linear(3, 2), data, world=World.sim(3), steps=3, batch_size=4)
    assert row["samples"] == 12
