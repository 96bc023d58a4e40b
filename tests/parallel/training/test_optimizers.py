"""Optimizers of simulated workers: each does what it would do for one worker alone, or is refused."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel.identities import averaging as identities
from parallel.replicas.replicas import Looped, Stacked
from parallel.strategy import make
from parallel.training.training import Training
from parallel.world.comm import Comm
from tests.parallel.training.simulated import OPTIONS, same, simulated


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
