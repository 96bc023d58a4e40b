"""Masks hold through every optimizer of torch, its state, and tighter masks."""

import copy
import io

import pytest
import torch
from torch import optim
from torch.nn import functional as F

import compress
from tests.compress.pruning.nets import conv, mlp, samples

DECAY = {"weight_decay": 0.1}
WAYS = {
    "SGD": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, **DECAY}),
    "SGD foreach": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "foreach": True, **DECAY}),
    "SGD fused": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "fused": True, **DECAY}),
    "Adam": (optim.Adam, {"lr": 0.05, "amsgrad": True, **DECAY}),
    "Adam foreach": (optim.Adam, {"lr": 0.05, "foreach": True}),
    "Adam fused": (optim.Adam, {"lr": 0.05, "fused": True, **DECAY}),
    "AdamW": (optim.AdamW, {"lr": 0.05, **DECAY}),
    "AdamW fused": (optim.AdamW, {"lr": 0.05, "fused": True, **DECAY}),
    "Adamax": (optim.Adamax, {"lr": 0.05, **DECAY}),
    "Adagrad": (optim.Adagrad, {"lr": 0.1, "initial_accumulator_value": 0.1, **DECAY}),
    "Adagrad fused": (optim.Adagrad, {"lr": 0.1, "fused": True, **DECAY}),
    "Adadelta": (optim.Adadelta, {"lr": 1.0, **DECAY}),
    "ASGD": (optim.ASGD, {"lr": 0.1, "t0": 2, **DECAY}),
    "NAdam": (optim.NAdam, {"lr": 0.05, **DECAY}),
    "RAdam": (optim.RAdam, {"lr": 0.05, **DECAY}),
    "RMSprop": (optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "centered": True, **DECAY}),
    "Rprop": (optim.Rprop, {"lr": 0.05}),
    "LBFGS": (optim.LBFGS, {"lr": 0.5, "max_iter": 4}),
    "LBFGS line search": (optim.LBFGS, {"max_iter": 4, "line_search_fn": "strong_wolfe"}),
}
if hasattr(optim, "Adafactor"):
    WAYS["Adafactor"] = (optim.Adafactor, {"lr": 0.05, **DECAY})
if hasattr(optim, "Muon"):  # (of matrices only)
    WAYS["Muon"] = (optim.Muon, {"lr": 0.05, "momentum": 0.9, **DECAY})
APART = ("step_size",)  # of Rprop: no memory of a weight, and never 0


def test_every_optimizer_of_this_torch_is_tested():
    here = {
        n
        for n, kind in vars(optim).items()
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
    }
    assert here - {"Optimizer", "SparseAdam"} == {kind.__name__ for kind, _ in WAYS.values()}


def optimizer_of(way, net):
    kind, options = WAYS[way]
    params = [p for p in net.parameters() if p.ndim == 2 or kind.__name__ != "Muon"]
    return kind(params, **options)


def train(net, optimizer, steps=4):
    x, y = samples(net)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(steps):
        closure()
        optimizer.step(closure if isinstance(optimizer, optim.LBFGS) else None)


def revived(net, masks, optimizer):
    """Count what is not zero where masks are: weights, and what the optimizer holds of them."""
    count = 0
    for name, mask in masks.items():
        p = net.get_parameter(name)
        state = {k: v for k, v in optimizer.state.get(p, {}).items() if k not in APART}
        held = [v for v in state.values() if isinstance(v, torch.Tensor) and v.shape == p.shape]
        count += sum(int((v[~mask] != 0).sum()) for v in [p.detach(), *held])
    return count


@pytest.mark.parametrize("way", WAYS)
def test_no_step_momentum_or_decay_revives_a_weight(way):
    net = mlp()
    dense = copy.deepcopy(net)
    masks = compress.prune(net, 0.4, "random")
    optimizer = optimizer_of(way, net)
    masked = compress.Masked(net, masks, optimizer)
    begin = copy.deepcopy(net.state_dict())
    train(net, optimizer)
    if way in ("Adagrad", "Adamax"):
        masked._forget(optimizer)  # (their sums begin at a constant, which is no memory)
    assert revived(net, masks, optimizer) == 0
    moved = (net.state_dict()["0.weight"] != begin["0.weight"]).sum()
    assert moved > 0.5 * masks.counts["0.weight"]  # (it does train)
    free = optimizer_of(way, dense)
    compress.Masked(dense, masks).detach()
    train(dense, free)
    assert revived(dense, masks, free) > 0  # (and without the masks they would be back)


@pytest.mark.parametrize("way", WAYS)
def test_tighter_masks_and_a_saved_state_hold_too(way):
    net = mlp()
    optimizer = optimizer_of(way, net)
    train(net, optimizer)  # what it remembers is of all weights
    saved = copy.deepcopy(optimizer.state_dict())
    wide = compress.prune(net, 0.6)
    masked = compress.Masked(net, wide, optimizer)
    assert revived(net, wide, optimizer) == 0
    train(net, optimizer)
    tight = compress.prune(net, 0.3, within=masked.masks)
    masked.tighten(tight)
    assert revived(net, tight, optimizer) == 0
    train(net, optimizer)
    optimizer.load_state_dict(saved)
    if not isinstance(optimizer, optim.LBFGS):
        assert revived(net, tight, optimizer) == 0
    train(net, optimizer)
    assert sum(int((net.get_parameter(n).detach()[~m] != 0).sum()) for n, m in tight.items()) == 0


@pytest.mark.parametrize("way", ["SGD", "Adam fused", "RMSprop", "LBFGS", "Adafactor"])
def test_a_run_goes_on_bitwise_from_what_was_saved(way):
    if way not in WAYS:
        pytest.skip("this torch has no Adafactor")
    net, again = mlp(), mlp(seed=5)
    optimizer = optimizer_of(way, net)
    masked = compress.Masked(net, compress.prune(net, 0.4), optimizer)
    train(net, optimizer)
    file = io.BytesIO()
    torch.save([net.state_dict(), optimizer.state_dict(), masked.state_dict()], file)
    file.seek(0)
    first, second, third = torch.load(file, weights_only=True)
    other = optimizer_of(way, again)
    held = compress.Masked(again, compress.prune(again, 0.9), other)
    held.load_state_dict(third)
    again.load_state_dict(first)
    other.load_state_dict(second)
    if way == "LBFGS":  # (its memory of other masks would be wrong: it begins anew after a load)
        optimizer.state.clear()
    train(net, optimizer)
    train(again, other)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_weights_that_are_out_do_not_come_back_by_tightening():
    net = mlp()
    masked = compress.Masked(net, compress.prune(net, 0.4))
    with pytest.raises(
        ValueError, match=r"0.weight: .* weights that are out would come back.*within=masked.masks"
    ):
        masked.tighten(compress.prune(mlp(seed=3), 0.4))
    with pytest.raises(
        ValueError, match=r"masks of 0.weight; expected of 0.weight, 2.weight, 4.weight"
    ):
        masked.tighten({"0.weight": masked.masks["0.weight"]})
    with pytest.raises(ValueError, match=r"mask of 0.weight has shape \(1,\)"):
        masked.load_state_dict({**masked.masks, "0.weight": torch.ones(1) > 0})


def test_a_dense_state_that_is_loaded_is_masked():
    net = mlp()
    masks = compress.prune(net, 0.4)
    compress.Masked(net, masks)
    net.load_state_dict(mlp(seed=4).state_dict())
    assert all((net.get_parameter(n)[~m] == 0).all() for n, m in masks.items())


def test_gradients_are_masked_before_they_are_clipped_and_where_they_are_set_by_hand():
    net = mlp()
    masks = compress.prune(net, 0.4)
    optimizer = optim.SGD(net.parameters(), 0.1, momentum=0.9)
    compress.Masked(net, masks, optimizer)
    x, y = samples(net)
    F.cross_entropy(net(x), y).backward()
    assert all((net.get_parameter(n).grad[~m] == 0).all() for n, m in masks.items())
    net[0].weight.grad = torch.full_like(net[0].weight, torch.nan)
    optimizer.step()
    assert (net[0].weight[~masks["0.weight"]] == 0).all()
    assert (optimizer.state[net[0].weight]["momentum_buffer"][~masks["0.weight"]] == 0).all()


def test_a_net_that_was_cast_is_still_masked():
    net = conv()
    masks = compress.prune(net, 0.4)
    optimizer = optim.SGD(net.parameters(), 0.1)
    compress.Masked(net, masks, optimizer)
    net.float()
    train(net, optimizer)
    assert revived(net, masks, optimizer) == 0


def test_what_cannot_be_attached_is_refused():
    net = mlp()
    masked = compress.Masked(net, compress.prune(net, 0.4))
    with pytest.raises(ValueError, match=r"take torch.optim.Adam"):
        masked.attach(optim.SparseAdam(list(net.parameters())))
    with pytest.raises(
        ValueError, match=r"has none of the masked weights: make it of net.parameters"
    ):
        masked.attach(optim.SGD(mlp().parameters(), 0.1))
    with pytest.raises(ValueError, match=r"expected a torch.optim.Optimizer, got a list"):
        masked.attach([])
    with pytest.raises(ValueError, match=r"no masks: there is nothing to keep zero"):
        compress.Masked(net, {})


def test_what_is_let_go_may_grow_again():
    net = mlp()
    masks = compress.prune(net, 0.4)
    optimizer = optim.SGD(net.parameters(), 0.1)
    compress.Masked(net, masks, optimizer).detach()
    train(net, optimizer)
    assert revived(net, masks, optimizer) > 0


def test_copies_and_pickles_of_a_masked_net_are_plain_nets():
    net = mlp()
    masked = compress.Masked(net, compress.prune(net, 0.3), optim.SGD(net.parameters(), 0.1))
    stream = io.BytesIO()
    torch.save(net, stream)
    stream.seek(0)
    read = torch.load(stream, weights_only=False)
    other, full = copy.deepcopy(net), mlp(3).state_dict()
    for each in (read, other):
        each.load_state_dict(full)
        assert torch.equal(each[0].weight, full["0.weight"])
    kept = compress.Masked(other, masked.masks)
    assert not other[0].weight[~kept.masks["0.weight"]].any()
    net.load_state_dict(full)
    assert not net[0].weight[~masked.masks["0.weight"]].any()
