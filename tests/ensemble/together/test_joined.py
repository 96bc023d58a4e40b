"""Members together answer what they answer alone, however they are asked."""

import copy
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bibd import BibdLinear
from bibd.dynamic import DynamicLinear
from ensemble import Ensemble
from ensemble.together import choice
from ensemble.together.joined import Joined


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def convolution():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(27, 3))


X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).double()
Y = torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture(params=["stack", "loop"])
def way(request, monkeypatch):
    monkeypatch.setattr("ensemble.together.joined.faster", lambda *_: request.param)
    return request.param


@pytest.fixture
def stacked(monkeypatch):
    monkeypatch.setattr("ensemble.together.joined.faster", lambda *_: "stack")


def loss(logits):
    return F.cross_entropy(logits.flatten(0, 1), Y.repeat(len(logits)), reduction="sum")


def alone(nets, x=X):
    return torch.stack([each(x) for each in nets])


def test_an_optimizer_of_the_members_trains_them_as_alone(way):
    ensemble = Ensemble(net, 3)
    apart = copy.deepcopy(ensemble.nets)
    for nets, call in ((ensemble, ensemble.members), (apart, lambda x: alone(apart))):
        optimizer = torch.optim.SGD(nets.parameters(), 0.1, momentum=0.9)
        for _ in range(4):
            optimizer.zero_grad()
            loss(call(X)).backward()
            optimizer.step()
    assert ensemble.joined.way(X) == way
    for p, q in zip(ensemble.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_an_optimizer_of_the_leaves_trains_the_members_as_alone(way):
    ensemble = Ensemble(net, 3)
    apart = copy.deepcopy(ensemble.nets)
    leaves = ensemble.leaves(X)
    assert len(leaves) == (4 if way == "stack" else 12)
    for trained, call in (
        (leaves, ensemble.members),
        (list(apart.parameters()), lambda x: alone(apart)),
    ):
        optimizer = torch.optim.Adam(trained, 0.01)
        for _ in range(4):
            optimizer.zero_grad()
            loss(call(X)).backward()
            optimizer.step()
    for p, q in zip(ensemble.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    torch.testing.assert_close(ensemble.members(X), alone(apart))


def test_every_member_may_read_inputs_of_its_own(way):
    ensemble, xs = Ensemble(net, 3), torch.stack([X, X + 1, X * 2])
    found = ensemble.members(xs, each=True)
    made = torch.stack([each(x) for each, x in zip(ensemble.nets, xs, strict=True)])
    torch.testing.assert_close(found, made)


def test_what_is_done_to_a_member_is_seen_at_once(stacked):
    ensemble = Ensemble(net, 3).eval()
    with torch.no_grad():
        ensemble.members(X)
        ensemble.nets[1][0].weight.data.mul_(2)
        torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))
        ensemble.nets[2][2].bias = nn.Parameter(torch.ones(3).double())
        torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))
        ensemble.nets[0].load_state_dict(net().state_dict(), assign=True)
        torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))
        assert ensemble.joined.way(X) == "stack"


def test_a_number_that_is_taken_away_is_missed_as_in_the_member(stacked):
    for bias in (True, False):
        ensemble = Ensemble(lambda bias=bias: nn.Linear(6, 3, bias).double(), 2).eval()
        ensemble.members(X)
        for each in ensemble.nets:
            each.bias = nn.Parameter(torch.ones(3).double()) if each.bias is None else None
        torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))


def test_parameters_put_in_for_a_while_are_used(stacked):
    ensemble = Ensemble(net, 3).eval()
    ensemble.members(X)
    given = {k: torch.ones_like(v) for k, v in ensemble.named_parameters()}
    found = torch.func.functional_call(ensemble, given, (X,))
    for p in ensemble.parameters():
        p.data.fill_(1)
    torch.testing.assert_close(found, ensemble(X))


def test_nets_of_two_ensembles_are_right_in_both(stacked):
    nets = [net() for _ in range(4)]
    more, fewer = Ensemble(nets).eval(), Ensemble(nets[:2]).eval()
    for _ in range(8):
        torch.testing.assert_close(more.members(X), alone(nets))
        torch.testing.assert_close(fewer.members(X), alone(nets[:2]))
    assert "were moved" in more.explain()


def slopes():
    return [nn.Sequential(nn.Linear(6, 3), nn.LeakyReLU(s)).double() for s in (0.1, 0.5)]


def shared():
    last = nn.Linear(6, 3).double()
    return [nn.Sequential(nn.Linear(6, 6).double(), last) for _ in range(2)]


LOOPED = {
    "other classes": (lambda: [net(), nn.Linear(6, 3).double()], "different classes: Sequential"),
    "other layers": (lambda: [net(), net()[:1]], "member 1 has other layers"),
    "other slopes": (slopes, r"differ in negative_slope of 1 \(LeakyReLU\)"),
    "other sizes": (
        lambda: [nn.Sequential(nn.Linear(6, n), nn.Linear(n, 3)).double() for n in (4, 5)],
        "differ in .*features",
    ),
    "shared": (shared, "share parameters"),
    "one": (lambda: [net()], "one member"),
}


@pytest.mark.parametrize("name", LOOPED)
def test_what_cannot_be_one_stack_is_looped_and_said(name, stacked):
    make, words = LOOPED[name]
    joined = Joined(nn.ModuleList(make()))
    assert joined.way(X) == "loop"
    assert re.search(words, joined.explain(X))


def test_batch_norm_is_stacked_in_eval_and_looped_in_training(stacked):
    x = torch.randn(4, 2, 5, 5)
    ensemble = Ensemble(convolution, 3)
    ensemble.members(x)
    assert "BatchNorm2d in training" in ensemble.explain(x)
    with torch.no_grad():
        assert ensemble.eval().joined.way(x) == "stack"
        torch.testing.assert_close(ensemble.members(x), alone(ensemble.nets, x))
        ensemble.train().members(x + 1)  # (writes into statistics that the stack reads)
        torch.testing.assert_close(ensemble.eval().members(x), alone(ensemble.nets, x))


def test_a_member_alone_in_eval_mode_is_asked_in_eval_mode(stacked):
    ensemble = Ensemble(lambda: nn.Sequential(nn.Dropout(0.9), net()), 2)
    ensemble.nets[1].eval()
    assert torch.equal(ensemble.members(X)[1], ensemble.nets[1](X))
    assert "others not" in ensemble.explain(X)


def test_hooks_of_members_are_called(stacked):
    ensemble, seen = Ensemble(net, 2), []
    ensemble.members(X)
    ensemble.nets[1][0].register_forward_hook(lambda *_: seen.append(1))
    ensemble.members(X)
    assert seen == [1]


def test_dropout_differs_between_members_of_a_stack(stacked):
    ensemble = Ensemble(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).double(), 2)
    ensemble.nets[1].load_state_dict(ensemble.nets[0].state_dict())
    first, second = ensemble.members(X.expand(5, 6))
    assert ensemble.joined.way(X) == "stack"
    assert not torch.equal(first, second)


def test_leaves_that_lost_their_members_are_not_trained_in_silence(stacked):
    ensemble = Ensemble(net, 2)
    ensemble.leaves(X)
    ensemble.float()
    with pytest.raises(ValueError, match="moved or replaced: ask for the leaves once more"):
        ensemble.members(X.float())
    assert len(ensemble.leaves(X.float())) == 4


def test_a_frozen_layer_gets_no_gradient(stacked):
    ensemble = Ensemble(net, 2)
    for each in ensemble.nets:
        each[0].requires_grad_(False)
    assert len(ensemble.leaves(X)) == 2
    ensemble.nets[1][0].requires_grad_(True)
    assert len(ensemble.leaves(X)) == 8  # (a tensor cannot be trained in half)


def test_inputs_get_their_gradient(way):
    ensemble, x = Ensemble(net, 3), X.clone().requires_grad_()
    other = X.clone().requires_grad_()
    loss(ensemble.members(x)).backward()
    loss(alone(ensemble.nets, other)).backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_sparse_members_of_different_designs_are_one_stack(stacked):
    nets = [BibdLinear(49, 56, seed=s) for s in range(3)]
    x = torch.randn(4, 49)
    found = Ensemble(nets).members(x)
    torch.testing.assert_close(found, alone(nets, x))


def test_the_choice_is_measured_and_neither_moves_weights_nor_draws_numbers():
    ensemble = Ensemble(lambda: nn.Sequential(nn.Dropout(0.5), net()), 2)
    before = copy.deepcopy(ensemble.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert ensemble.joined.way(X) in ("stack", "loop")
    assert torch.equal(torch.rand(1), expected)
    assert all(p.grad is None for p in ensemble.parameters())
    for key, value in ensemble.state_dict().items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, before[key])


def test_a_net_that_looks_at_its_values_is_looped():
    class Looks(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 1e9 else super().forward(-x)

    ensemble = Ensemble(lambda: Looks(6, 3).double(), 2)
    torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))
    assert ensemble.joined.way(X) == "loop"


def test_calls_of_another_kind_have_other_names():
    base = choice.Kind("a", 3, (6,), 2, torch.float32, "cpu", 1, False, "", False)
    others = [
        base._replace(training=True),
        base._replace(gradients="whole"),
        base._replace(batch=3),
    ]
    assert len({str(k) for k in (base, *others, base._replace(each=True))}) == 5


def leaky():
    return nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Linear(8, 3)).double()


def put_in(nets):
    nets[1] = leaky()


def layer(nets):
    nets[1][0] = nn.Linear(6, 8).double()


def other_kind(nets):
    nets[1][1] = nn.Tanh()


def more_layers(nets):
    nets[1].append(nn.Tanh())


def fewer(nets):
    del nets[2]


def more(nets):
    nets.append(leaky())


def setting(nets):
    nets[1][1].negative_slope = 0.9


def forward(nets):
    net = nets[1]
    net.forward = lambda x: 2 * type(net).forward(net, x)


CHANGES = [put_in, layer, other_kind, more_layers, fewer, more, setting, forward]


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_members_that_are_changed_answer_as_they_are_now(change, stacked):
    ensemble = Ensemble(leaky, 4).eval()
    ensemble.members(X)
    change(ensemble.nets)
    found = ensemble.members(X)
    assert len(found) == len(ensemble)
    torch.testing.assert_close(found, alone(ensemble.nets))
    for again in CHANGES:
        again(ensemble.nets)
        torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))


@torch.no_grad()
def test_connections_that_move_are_seen(stacked):
    layers = [DynamicLinear(6, 8, "random", nonzeros=20, seed=s) for s in range(3)]
    ensemble = Ensemble([nn.Sequential(m, nn.ReLU(), nn.Linear(8, 3)) for m in layers]).double()
    ensemble.eval().members(X)
    assert "in a stack" in ensemble.explain(X)
    free = np.flatnonzero(~layers[1].pattern.mask().ravel())
    layers[1].rewire([0, 1, 2], free[:3], None)
    layers[1].weight.normal_()
    torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))


def test_leaves_of_members_that_were_changed_are_not_trained_in_silence(stacked):
    ensemble = Ensemble(leaky, 3)
    ensemble.leaves(X)
    put_in(ensemble.nets)
    with pytest.raises(ValueError, match="now members have other layers or settings: ask for"):
        ensemble.members(X)
    with torch.no_grad():
        torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))
    ensemble.leaves(X)
    torch.testing.assert_close(ensemble.members(X), alone(ensemble.nets))
