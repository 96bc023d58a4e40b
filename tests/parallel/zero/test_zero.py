"""Workers that divide what they hold: real processes, any net, and what a loop may do to gradients."""

import copy
import io
from dataclasses import asdict
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import DataParallel, World, executors
from parallel.identities import averaging as identities
from parallel.identities import slices
from parallel.strategy import make
from parallel.strategy.zero import Held, held
from parallel.training.loop import rows
from parallel.training.training import Training
from parallel.world.comm import Comm, NotFinite
from parallel.world.run import run as go
from tests.parallel.processes import limit

STAGES = ["zero1", "zero2", "zero3"]
ADAM = partial(torch.optim.AdamW, lr=0.05)
MOMENTUM = partial(torch.optim.SGD, **identities.MOMENTUM)  # (Adam divides rounding by rounding)
OPTIONS = dict(batch_size=7, seed=5)


@pytest.mark.parametrize("name", STAGES)
def test_processes_are_the_simulation_and_send_as_much(name):
    with limit(120):
        assert identities.by_processes(lambda: make(name)) <= 1e-12


@pytest.mark.parametrize("name", STAGES)
def test_two_processes_are_all_reduce_to_the_bit_whatever_their_shares(name):
    """Batches of 7: one has 4 samples and the other 3."""
    found = []
    for which in ("all_reduce", name):
        parts = identities.net, identities.task(), F.cross_entropy, ADAM, make(which)
        with limit(90):
            *_, state = go(World.procs(2, timeout=30), identities.states, parts, OPTIONS, 6)
        found.append(state)
    assert identities.apart(*found) == 0


@pytest.mark.parametrize("name", STAGES)
def test_a_row_of_a_process_says_what_it_holds(name):
    parts = identities.net, identities.task(), F.cross_entropy, ADAM, make(name)
    with limit(90):
        *_, row = go(World.procs(3, timeout=30), rows, parts, OPTIONS, 4, 4)
    own = -(-93 // 3)
    weights = own if name == "zero3" else 93
    assert row["held_rest"] == dict(parameters=weights * 8, gradients=own * 8, optimizer=own * 16)
    assert row["bytes_payload"] == row["bytes_planned"] == row["bytes_theory"]
    whole = 93 if name == "zero1" else own + 42  # the slice and the largest layer, 6 x 6 + 6
    least = whole if name == "zero1" else own
    assert least * 8 <= row["held_peak"]["gradients"] <= whole * 8
    assert row["held_peak"]["parameters"] == (93 if name != "zero3" else own + 42) * 8


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", ["all_reduce", *STAGES])
def test_a_simulated_worker_holds_what_a_process_does(name, workers):
    """Also at the peak, though in one process others' gradients may be there before the own."""
    found = []
    for world in (World.procs(workers, timeout=30), World.sim(workers)):
        parts = wide, identities.task(), F.cross_entropy, ADAM, make(name)
        with limit(90):
            *_, row = go(world, rows, parts, OPTIONS, 4, 4)
        found.append({k: v for k, v in row.items() if k.startswith("held")})
    assert len(found[0]) == 3
    assert found[0] == found[1]
    if name == "all_reduce":
        assert asdict(held(0, 323, workers, Held(8, 8, 16))) == found[0]["held_rest"]
        assert len({tuple(sorted(held.items())) for held in found[0].values()}) == 1


def wide(rank=0):
    """A net whose first layer is most of it, and is sent last."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 3)).double()


def test_the_formula_is_the_table_of_the_paper():
    """7.5 billion weights, 64 ranks, mixed Adam: 120, 31.4, 16.6 and 1.9 GB."""
    found = [held(stage, 7.5e9, 64, Held(2, 2, 12)).total / 1e9 for stage in range(4)]
    assert [round(v, 1) for v in found] == [120.0, 31.4, 16.6, 1.9]


class Odd(nn.Module):
    """Shared, frozen, unreached and scalar weights, a batch norm, and its own parameter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.unused = nn.Linear(3, 2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm(self.second(torch.tanh(self.first(x))))
        return self.head(self.frozen(x) * self.scale)


def convolutions():
    torch.manual_seed(5)
    layers = nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 2), nn.Flatten()
    net = nn.Sequential(nn.Unflatten(1, (2, 2, 2)), *layers[:3], nn.Flatten(), nn.Linear(3, 3))
    return net.double().to(memory_format=torch.channels_last)


def by_axes(parameters):
    """Weight decay for matrices only: the usual idiom."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.3},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, "lr": 0.01},
    ]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def loops(model, optimizer, steps=5, clip=None, parts=1):
    """An ordinary loop, with as many backwards in a step."""
    data = identities.task()
    optimizer = optimizer(model.parameters())
    x = torch.cat([data.train_x, data.train_x], 1) if _wide(model) else data.train_x
    for k in range(steps):
        index = (torch.arange(12) + 5 * k) % 22
        optimizer.zero_grad()
        for some in index.chunk(parts):
            (F.cross_entropy(model(x[some]), data.train_y[some]) / parts).backward()
        if clip:
            model.clip_grad_norm_(clip)
        optimizer.step()
    return model


def _wide(model):
    return any(isinstance(m, nn.Unflatten) for m in model.modules())


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("optimizer", [MOMENTUM, by_axes])
@pytest.mark.parametrize("make_net", [lambda: Odd().double(), convolutions])
@pytest.mark.parametrize("parts", [1, 3])
def test_any_net_trains_as_under_all_reduce(name, optimizer, make_net, parts):
    """Several backwards in a step add up, and are not averaged twice."""
    a, b = (DataParallel(style=s, model=make_net(), workers=2) for s in ("all_reduce", name))
    loops(a, optimizer, parts=parts)
    loops(b, optimizer, parts=parts)
    assert identities.apart(a.state_dict(), b.state_dict()) <= 1e-12


@pytest.mark.parametrize("name", STAGES)
def test_frozen_and_unreached_weights_stay_as_they_were(name):
    start = Odd().double()
    wrapped = loops(DataParallel(style=name, model=start, workers=3), ADAM)
    state = wrapped.state_dict()
    for key in ("frozen.weight", "unused.weight"):
        assert identities.apart({key: state[key]}, {key: start.state_dict()[key]}) <= 1e-15
    assert not torch.equal(state["head.weight"], start.head.weight)


@pytest.mark.parametrize("name", STAGES)
def test_what_is_unfrozen_later_has_no_slice_and_is_refused_by_name(name):
    """Replicas would go apart, each with gradients of its own that no owner gets."""
    model = identities.net()
    model[0].requires_grad_(False)
    net = DataParallel(style=name, model=model, workers=2)
    optimizer = MOMENTUM(net.parameters())
    go_on(net, optimizer, 1)
    for replica in net.replicas:
        replica[0].requires_grad_(True)
    said = r"0\.weight was frozen when DataParallel was made.*wrap that anew"
    with pytest.raises(ValueError, match=said):
        go_on(net, optimizer, 1)
    model.requires_grad_(True).load_state_dict(net.state_dict())
    again = DataParallel(style=name, model=model, workers=2)
    go_on(again, MOMENTUM(again.parameters()), 1)
    assert not torch.equal(again.state_dict()["0.weight"], net.state_dict()["0.weight"])


@pytest.mark.parametrize("name", STAGES)
def test_gradients_that_were_cleared_do_not_come_back(name):
    """A backward whose step is left out, as after a bad batch."""
    data, found = identities.task(), []
    for bad in (False, True):
        net = DataParallel(style=name, model=identities.net(), workers=2)
        optimizer = ADAM(net.parameters())
        for k in range(4):
            index = torch.arange(6) + 4 * k
            if bad:
                (100 * net(data.train_x[index]).square()).mean().backward()
            optimizer.zero_grad()
            F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
            optimizer.step()
        found.append(net.state_dict())
    assert identities.apart(*found) == 0


@pytest.mark.parametrize("name", STAGES)
def test_torchs_clipping_is_no_silent_mistake(name):
    """Gradients are with their owners: whoever scales what is left is told so."""
    net = DataParallel(style=name, model=identities.net(), workers=2)
    net(identities.task().train_x[:6]).square().mean().backward()
    with pytest.raises(ValueError, match=r"mul_: .* Clip by net.clip_grad_norm_"):
        nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
    with pytest.raises(ValueError, match=r"zero_: .* clear by zero_grad\(\), which sets to None"):
        net.zero_grad(set_to_none=False)
    for p in net.parameters():
        with pytest.raises(ValueError, match=r"__setitem__: .* cannot be changed"):
            p.grad[...] = 0


@pytest.mark.parametrize("name", STAGES)
def test_a_copy_in_the_middle_of_a_step_goes_on_alike(name):
    net = DataParallel(style=name, model=identities.net(), workers=2)
    go_on(net, torch.optim.SGD(net.parameters(), lr=0.1), 1)
    net(identities.task().train_x[:6]).square().mean().backward()
    twin = copy.deepcopy(net)
    assert all(p.grad is None for p in twin.parameters())  # (as of any copy of a net)
    net.zero_grad()
    for one in (net, twin):
        go_on(one, torch.optim.SGD(one.parameters(), lr=0.1), 2)
    assert identities.apart(net.state_dict(), twin.state_dict()) == 0


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_is_refused_in_words(name, fused):
    """It would look for infinity, and scale, where no gradient is; unscaled, nothing would step."""
    net = DataParallel(style=name, model=identities.net().float(), workers=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = copy.deepcopy(net.state_dict())
    scaler.scale(net(identities.task().train_x[:6].float()).square().mean()).backward()
    with pytest.raises(ValueError, match="leave out a GradScaler: bfloat16 needs none"):
        scaler.step(optimizer)
    assert net.steps == 0
    assert identities.apart(before, net.state_dict()) == 0


@pytest.mark.parametrize("name", STAGES)
def test_optimizers_of_whole_matrices_are_refused_by_name(name):
    net = DataParallel(style=name, model=identities.net(), workers=2)
    net(identities.task().train_x[:6]).square().mean().backward()
    with pytest.raises(ValueError, match=f"Normalised: {name} steps slices.*SGD or Adam"):
        slices.Normalised(net.parameters()).step()
    factored = getattr(torch.optim, "Adafactor", None)
    if factored is not None:
        with pytest.raises(ValueError, match=f"Adafactor: {name} steps slices"):
            identities.training(make(name), optimizer=partial(factored, lr=0.1))


@pytest.mark.parametrize("name", STAGES)
def test_schedules_that_begin_and_end_at_zero(name):
    net = DataParallel(style=name, model=identities.net(), workers=2)
    optimizer = ADAM(net.parameters())
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: (0, 1, 0)[k])
    for _ in range(2):
        go_on(net, optimizer, 1)
        rates.step()
    assert net.training_state(optimizer)["steps"] == 2


@pytest.mark.parametrize("name", STAGES)
def test_what_is_not_finite_is_refused_with_its_name(name):
    net = DataParallel(style=name, model=identities.net(), workers=2)
    out = net(identities.task().train_x[:6])
    loss = (out * torch.tensor([1.0, 1, 1, 1, 1, float("inf")]).view(6, 1)).mean()
    with pytest.raises(NotFinite, match=r"worker 1 has NaN or infinity in \d\.weight"):
        loss.backward()


@pytest.mark.parametrize("name", STAGES)
def test_an_optimizer_that_is_saved_by_itself_says_that_it_has_no_moments(name):
    net = DataParallel(style=name, model=identities.net(), workers=2)
    optimizer = ADAM(net.parameters())
    assert optimizer.state_dict()["state"] == {}  # (nothing is lost yet)
    go_on(net, optimizer, 1)
    assert net.training_state(optimizer)["team"]["optimizer"]["state"] == {}
    with pytest.raises(ValueError, match=r"in slices.*save net\.training_state\(optimizer\)"):
        optimizer.state_dict()
    plain = torch.optim.SGD(net.parameters(), lr=0.1)
    go_on(net, plain, 1)
    assert plain.state_dict()["param_groups"][0]["lr"] == 0.1


@pytest.mark.parametrize("name", STAGES)
def test_a_wrapper_goes_on_to_the_bit(name):
    whole = loops(DataParallel(style=name, model=identities.net(), workers=3), ADAM, steps=2)
    first = DataParallel(style=name, model=identities.net(), workers=3)
    optimizer = ADAM(first.parameters())
    loops(first, lambda _: optimizer, steps=1)
    state = copy.deepcopy(first.training_state(optimizer))
    second = DataParallel(style=name, model=identities.net(1), workers=3)
    other = ADAM(second.parameters())
    second.load_training_state(state, other)
    data = identities.task()
    index = torch.arange(12) + 5
    other.zero_grad()
    F.cross_entropy(second(data.train_x[index]), data.train_y[index]).backward()
    other.step()
    assert identities.apart(whole.state_dict(), second.state_dict()) == 0


def go_on(net, optimizer, steps):
    """More steps of one loop, numbered from where the net is."""
    data = identities.task()
    for k in range(net.steps, net.steps + steps):
        index = (torch.arange(12) + 5 * k) % 22
        optimizer.zero_grad()
        F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
        optimizer.step()


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_what_three_have_saved_any_number_loads(name, workers):
    """With as many, to the bit; elsewhere as near as rounding."""
    nets = [
        DataParallel(style=name, model=identities.net(k), workers=n)
        for k, n in enumerate((3, workers))
    ]
    first, second = (MOMENTUM(net.parameters()) for net in nets)
    go_on(nets[0], first, 4)
    state = io.BytesIO()
    torch.save(nets[0].training_state(first), state)
    state.seek(0)
    nets[1].load_training_state([torch.load(state, weights_only=True)], second)
    for net, optimizer in zip(nets, (first, second), strict=True):
        go_on(net, optimizer, 5)
    apart = identities.apart(nets[0].state_dict(), nets[1].state_dict())
    assert apart == 0 if workers == 3 else apart <= 1e-12


def test_a_missing_slice_is_named():
    net = DataParallel(style="zero2", model=identities.net(), workers=3)
    optimizer = MOMENTUM(net.parameters())
    go_on(net, optimizer, 1)
    state = net.training_state(optimizer)
    own = state["team"]["strategy"]["slices"]
    state["team"]["strategy"]["slices"] = [one for one in own if one[0] != 1]
    with pytest.raises(ValueError, match="expected the training states of all ranks"):
        net.load_training_state([state], optimizer)
    with pytest.raises(ValueError, match="only workers that hold slices"):
        DataParallel(style="all_reduce", model=identities.net()).load_training_state([], optimizer)


def test_bfloat16_beside_float32_has_a_row_of_its_own():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.low, self.high = nn.Linear(4, 5).bfloat16(), nn.Linear(5, 3)

        def forward(self, x):
            return self.high(self.low(x.bfloat16()).float())

    found = []
    data = identities.task()
    for name in ("all_reduce", "zero2"):
        sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
        words = Mixed(), data, F.cross_entropy, sgd, make(name)
        training = Training(*words, Comm(2), batch_size=8, seed=5)
        for _ in range(4):
            training.step()
        found.append(training)
    a, b = (one.executor.consensus() for one in found)
    # A step rounds a weight below 1 to 8 bits, once in each of two ways.
    assert identities.apart(a, b) <= 4 * 2**-8
    low, high = 13, 9  # halves of 4 x 5 + 5 and of 5 x 3 + 3 numbers
    assert executors.held(found[1].executor)["held_rest"]["optimizer"] == low * 2 + high * 4
