"""Simulated workers against plain loops, where a shortcut of the stack might tell another number."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.data import Data
from parallel import World, train
from parallel.identities import averaging as identities
from parallel.replicas.replicas import Looped, Stacked
from parallel.strategy import make
from parallel.strategy.gossip import ElasticGossip
from parallel.training.shards import Shards
from parallel.training.training import Training
from parallel.world.comm import Comm, NotFinite
from parallel.world.ops import Exchange, Round
from parallel.world.run import run

MOMENTUM = partial(torch.optim.SGD, **identities.MOMENTUM)
OPTIONS = dict(batch_size=7, seed=5)
EVEN = dict(batch_size=6, seed=5)  # (a batch norm refuses a single sample)


def simulated(
    model,
    loss=F.cross_entropy,
    optimizer=MOMENTUM,
    name="no_comm",
    steps=6,
    n=2,
    words=OPTIONS,
    **options,
):
    parts = model, identities.task(), loss, optimizer, make(name, **options)
    session = Training(*parts, Comm(n), **words)
    for _ in range(steps):
        session.step()
    return session


def alone(session, model, loss=F.cross_entropy, optimizer=MOMENTUM, rank=0):
    """What one of its workers would have come to in a script."""
    net, data = copy.deepcopy(model), session.data
    own = optimizer(list(net.parameters()))
    for step in range(1, session.done + 1):
        index = session.shards.at(step)[rank]
        own.zero_grad()
        loss(net(data.train_x[index]), data.train_y[index]).backward()
        own.step()
    return net


def same(session, model, **words):
    for rank in range(session.comm.workers):
        net = alone(session, model, rank=rank, **words)
        mine = {k: v[rank] for k, v in session.members.get("params").items()}
        assert identities.apart(mine, {k: p.detach() for k, p in net.named_parameters()}) < 1e-12


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


def by_axes(parameters):
    """Weight decay for matrices only: the usual idiom."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.3},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def by_place(parameters):
    """The first two learn, the others do not."""
    first, rest = list(parameters)[:2], list(parameters)[2:]
    return torch.optim.Adam([{"params": first, "lr": 0.1}, {"params": rest, "lr": 0.0}])


class Trust(torch.optim.Optimizer):
    """Steps as long as a share of the norm of each tensor (as LARS)."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * (p.norm() + 0.1) / (p.grad.norm() + 1e-9) * p.grad


class Whole(Trust):
    """The same with the norm of all tensors."""

    @torch.no_grad()
    def step(self, closure=None):
        every = [p for group in self.param_groups for p in group["params"]]
        norm = sum(p.grad.square().sum() for p in every).sqrt()
        for p in every:
            p -= 0.1 / norm * p.grad


class Recurrent(nn.Module):
    """Loops in a simulation."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.rnn, self.head = nn.RNN(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.rnn(x.unsqueeze(1))[0][:, -1])


ADAGRAD = partial(torch.optim.Adagrad, lr=0.05, initial_accumulator_value=0.1)


@pytest.mark.parametrize("make_net", [identities.net, lambda: Recurrent().double()])
@pytest.mark.parametrize("optimizer", [by_axes, by_place, Trust, ADAGRAD])
def test_groups_and_norms_are_those_of_one_model(make_net, optimizer):
    model = make_net()
    session = simulated(model, optimizer=optimizer)
    same(session, model, optimizer=optimizer)
    stacks = optimizer is not Trust and not isinstance(model, Recurrent)
    assert isinstance(session.members, Stacked if stacks else Looped)


def test_an_optimizer_that_would_mix_workers_is_refused():
    with pytest.raises(ValueError, match="Whole: its step looks at several parameters at once"):
        simulated(identities.net(), optimizer=Whole)
    simulated(identities.net(), optimizer=Whole, n=1)
    made = torch.optim.SGD(identities.net().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"such as partial\(SGD, lr=0.1\), got a SGD"):
        simulated(identities.net(), optimizer=made)
    with pytest.raises(ValueError, match="parameters that it was not given"):
        simulated(identities.net(), optimizer=lambda _: made)


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


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 40), st.integers(0, 9))
def test_every_step_has_its_batch_and_every_sample_its_turn(samples, workers, batch, seed):
    workers, batch = min(workers, samples), max(batch, min(workers, samples))
    shards = Shards(samples, workers, batch, seed)
    steps = [shards.at(k) for k in range(1, shards.steps + 1)]
    sizes = [sum(len(one) for one in step) for step in steps]
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= batch
    seen = torch.cat([one for step in steps for one in step])
    assert seen.sort().values.tolist() == list(range(samples))
    for step in steps:
        lengths = [len(one) for one in step]
        assert max(lengths) - min(lengths) <= 1


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


@pytest.mark.parametrize(
    ("optimizer", "key", "value"),
    [
        (partial(torch.optim.Adagrad, lr=0.1, initial_accumulator_value=0.1), "sum", 0.1),
        (partial(torch.optim.Rprop, lr=0.02), "step_size", 0.02),
        (partial(torch.optim.Adam, lr=0.1), "exp_avg_sq", 0.0),
    ],
)
def test_what_no_subnet_had_begins_as_a_new_optimizer_does(optimizer, key, value):
    session = simulated(identities.net(), optimizer=optimizer, name="ist", period=2, steps=2)
    state = session.executor.states.values[f"2.weight/{key}"]
    untouched = torch.full_like(state, value)
    assert 0 < int((state == untouched).sum()) < state.numel()


def test_the_schedule_sets_the_rate_of_each_step():
    model, rates = identities.net(), []

    def rate(step):
        rates.append(step)
        return 1 / step

    parts = model, identities.task(), F.cross_entropy, partial(torch.optim.SGD, lr=0.3)
    session = Training(*parts, make("no_comm"), Comm(2), **OPTIONS, schedule=rate)
    net, data = copy.deepcopy(model), session.data
    own = torch.optim.SGD(net.parameters(), lr=0.3)
    for step in range(1, 6):
        session.step()
        own.param_groups[0]["lr"] = 0.3 / step
        index = session.shards.at(step)[0]
        own.zero_grad()
        F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
        own.step()
    assert rates == [1, 2, 3, 4, 5]
    mine = {k: v[0] for k, v in session.members.get("params").items()}
    assert identities.apart(mine, {k: p.detach() for k, p in net.named_parameters()}) < 1e-12


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


class Noisy(torch.optim.SGD):
    """Draws its own numbers (as Langevin's)."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(torch.randn_like(p), alpha=1e-4)


class Clipping(torch.optim.SGD):
    """Clips large gradients by the norm of all."""

    def step(self, closure=None):
        every = [p for group in self.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(every, 3.0)
        return super().step(closure)


def test_optimizers_that_draw_are_not_taken_for_those_that_mix():
    session = simulated(identities.net(), optimizer=partial(Noisy, lr=0.1), steps=1)
    assert isinstance(session.members, Looped)
    with pytest.raises(ValueError, match="several parameters at once"):
        simulated(identities.net(), optimizer=partial(Clipping, lr=0.1))
    with pytest.raises(ValueError, match="several parameters at once"):
        simulated(identities.net(), optimizer=lambda p: Clipping([{"params": p, "lr": 0.1}], lr=0))


class Scaled(nn.Module):
    """With a number without axes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layer, self.scale = nn.Linear(4, 3), nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.layer(x) * self.scale


def test_states_from_the_start_fit_subnets_and_numbers():
    adagrad = partial(torch.optim.Adagrad, lr=0.1)
    model = Scaled().double()
    same(simulated(model, optimizer=adagrad), model, optimizer=adagrad)
    layers = nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)
    session = simulated(
        nn.Sequential(*layers).double(), optimizer=adagrad, name="ist", period=2, n=3
    )
    assert session.row()["test_loss"] < 2
