"""Layers whose connections move: survivors keep what they have, new ones start at nothing."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bibd import DynamicConv2d, DynamicLinear, SparseLinear, dense_gradients, make_pattern
from bibd.moved import moved

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
    "fused": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
}


def made(nonzeros: int = 30, **more) -> DynamicLinear:
    torch.manual_seed(0)
    return DynamicLinear(12, 10, "random", seed=1, nonzeros=nonzeros, **more).double()


def free(layer, count: int) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(~layer.pattern.mask()))[:count]


def step(layer, optimizer, seed: int = 0) -> None:
    x = torch.randn(8, 12, generator=torch.Generator().manual_seed(seed)).double()
    optimizer.zero_grad()
    layer(x).square().sum().backward()
    optimizer.step()


@given(st.data())
def test_survivors_keep_their_values_and_new_places_have_none(data):
    v, b = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    n = data.draw(st.integers(1, v * b))
    old = make_pattern("random", v, b, seed=data.draw(st.integers(0, 99)), nonzeros=n)
    drop = data.draw(st.sets(st.integers(0, n - 1)))
    stays = np.delete(old.flat, sorted(drop))
    open_ = sorted(set(range(v * b)) - set(stays))
    grow = data.draw(st.sets(st.sampled_from(open_))) if open_ else set()
    new, source = moved(old, np.array(sorted(drop), int), np.array(sorted(grow), int))
    assert set(new.flat) == set(stays) | grow
    for place, at in zip(new.flat, source, strict=True):  # one connection after the other
        assert (at == -1 and place in grow) or (at not in drop and old.flat[at] == place)
    assert (new.in_features, new.out_features, new.nonzeros) == (v, b, len(stays) + len(grow))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("more", [0, 3, -3])
def test_training_goes_on_as_if_values_and_memory_had_been_moved_by_hand(name, more):
    """Against a masked dense layer, whose weight and memory at new places are set to 0."""
    layer = made()
    dense = nn.Linear(12, 10).double()
    dense.load_state_dict({"weight": layer.to_dense().detach(), "bias": layer.bias.detach()})
    mask = torch.from_numpy(layer.pattern.mask())
    own, other = OPTIMIZERS[name](layer.parameters()), OPTIMIZERS[name](dense.parameters())

    def masked_step(seed):
        x = torch.randn(8, 12, generator=torch.Generator().manual_seed(seed)).double()
        other.zero_grad()
        F.linear(x, dense.weight * mask, dense.bias).square().sum().backward()
        other.step()
        with torch.no_grad():
            dense.weight.mul_(mask)

    for t in range(3):
        step(layer, own, t)
        masked_step(t)
    drop, grow = torch.arange(5), free(layer, 5 + more)
    gone = torch.from_numpy(layer.pattern.flat)[drop]
    layer.rewire(drop, grow, own)
    mask.view(-1)[gone], mask.view(-1)[grow] = False, True
    for tensor in [dense.weight.data, *other.state[dense.weight].values()]:
        if tensor.shape == dense.weight.shape:
            tensor.view(-1)[gone] = 0
            tensor.view(-1)[grow] = 0
    for t in range(3, 6):
        step(layer, own, t)
        masked_step(t)
    assert torch.allclose(layer.to_dense(), dense.weight, rtol=1e-12, atol=1e-12)
    for key, value in own.state[layer.weight].items():
        if value.shape == layer.weight.shape:
            kept = other.state[dense.weight][key][torch.from_numpy(layer.pattern.mask())]
            assert torch.allclose(value, kept, rtol=1e-11, atol=1e-12), key


def test_a_connection_that_is_dropped_and_grown_in_one_call_starts_anew():
    layer = made()
    optimizer = OPTIMIZERS["sgd"](layer.parameters())
    step(layer, optimizer)
    place = layer.pattern.flat[4]
    before = layer.pattern.digest()
    layer.rewire([4], [place], optimizer)
    assert layer.pattern.digest() == before
    assert layer.weight[4] == 0
    assert optimizer.state[layer.weight]["momentum_buffer"][4] == 0


@pytest.mark.parametrize("backend", ["dense", "bag", "native", "auto"])
def test_every_path_reads_the_new_table(backend):
    torch.manual_seed(0)
    layer = DynamicLinear(300, 200, "random", seed=0, nonzeros=2000, backend=backend)
    x = torch.randn(16, 300)
    layer(x)
    layer.rewire(range(500), free(layer, 500), None)
    with torch.no_grad():
        layer.weight.normal_()
    want = F.linear(x.double(), layer.to_dense().double(), layer.bias.double())
    # (a dot product of n terms in float32: n + 1 roundings of at most the sum of its sizes)
    size = F.linear(x.abs(), layer.to_dense().abs(), layer.bias.abs())
    terms = int(layer.pattern.fan_in.max()) + 2
    assert ((layer(x) - want).abs() <= terms * 2**-24 * size).all()


def test_the_same_parameter_goes_on_and_its_gradient_is_gone():
    layer = made()
    weight = layer.weight
    layer(torch.ones(2, 12).double()).sum().backward()
    layer.rewire([0], free(layer, 1), None)
    assert layer.weight is weight
    assert weight.grad is None


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_moves_whole_kernels(groups):
    torch.manual_seed(0)
    layer = DynamicConv2d(
        8, 6, 3, padding=1, groups=groups, pattern="random", seed=0, nonzeros=10
    ).double()
    kept = layer.to_dense().detach().clone()
    gone, new = layer.pattern.flat[:4], free(layer, 4).numpy()
    layer.rewire(range(4), new, None)
    kept.view(-1, 3, 3)[torch.from_numpy(np.concatenate([gone, new]))] = 0
    assert torch.equal(layer.to_dense(), kept)
    with torch.no_grad():
        layer.weight.normal_()
    x = torch.randn(2, 8, 5, 5).double()
    want = F.conv2d(x, layer.to_dense(), layer.bias, padding=1, groups=groups)
    assert torch.allclose(layer(x), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 12), (2, 3, 12), (12,)])
def test_the_dense_gradient_of_a_linear_layer_is_that_of_its_dense_weight(shape):
    layer, x = made(), torch.randn(shape).double()
    with dense_gradients(layer) as found:
        layer(x).square().sum().backward()
    weight = layer.to_dense().detach().requires_grad_()
    F.linear(x, weight, layer.bias).square().sum().backward()
    assert torch.allclose(found[""], weight.grad, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_the_dense_gradient_of_a_convolution_is_that_of_its_dense_weight(mode):
    sizes = dict(padding=1, stride=2, groups=2, padding_mode=mode)
    layer = DynamicConv2d(8, 6, 3, **sizes, pattern="random", seed=0, nonzeros=10).double()
    x = torch.randn(2, 8, 7, 7).double()
    with dense_gradients(nn.Sequential(layer)) as found:
        layer(x).square().sum().backward()
    dense = nn.Conv2d(8, 6, 3, **sizes).double()
    dense.load_state_dict({"weight": layer.to_dense().detach(), "bias": layer.bias.detach()})
    dense(x).square().sum().backward()
    assert torch.allclose(found["0"], dense.weight.grad, rtol=1e-12, atol=1e-13)


def test_dense_gradients_of_several_passes_add_up_and_leave_no_hook():
    layer, x = made(), torch.randn(4, 12).double()
    with dense_gradients(layer) as once:
        layer(x).sum().backward()
    with dense_gradients(layer) as twice:
        layer(x).sum().backward()
        layer(x).sum().backward()
    assert torch.allclose(twice[""], 2 * once[""])
    assert not layer._forward_hooks


def test_a_checkpoint_brings_its_connections_to_a_fresh_layer():
    layer = made()
    layer.rewire(range(7), free(layer, 4), None)
    state = copy.deepcopy(layer.state_dict())
    fresh = made()
    assert fresh.load_state_dict(state).missing_keys == []
    assert fresh.pattern.digest() == layer.pattern.digest()
    assert torch.equal(fresh.to_dense(), layer.to_dense())
    x = torch.randn(3, 12).double()
    assert torch.equal(fresh(x), layer(x))


def test_training_is_saved_and_loaded_between_moves_bit_for_bit():
    def train(layer, optimizer, first, last):
        for t in range(first, last):
            step(layer, optimizer, t)
            layer.rewire([t, t + 5], free(layer, 2), optimizer)

    whole = made()
    train(whole, optimizer := OPTIMIZERS["adamw"](whole.parameters()), 0, 6)
    half = made()
    train(half, first := OPTIMIZERS["adamw"](half.parameters()), 0, 3)
    rest = made(40)  # (of another count, even)
    rest.load_state_dict(half.state_dict())
    second = OPTIMIZERS["adamw"](rest.parameters())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(rest, second, 3, 6)
    assert rest.pattern.digest() == whole.pattern.digest()
    assert torch.equal(rest.weight, whole.weight)
    for key, value in optimizer.state[whole.weight].items():
        assert torch.equal(second.state[rest.weight][key], value)


def test_a_copy_moves_alone():
    layer = made()
    twin = copy.deepcopy(layer)
    twin.rewire(range(3), free(twin, 3), None)
    assert layer.pattern.digest() != twin.pattern.digest()
    assert torch.equal(layer.to_dense(), made().to_dense())


def test_a_layer_that_cannot_move_says_whose_connections_a_checkpoint_has():
    layer = made()
    layer.rewire([0], free(layer, 1), None)
    plain = SparseLinear(12, 10, "random", seed=1, nonzeros=30).double()
    with pytest.raises(RuntimeError, match=r"these values belong to pattern moved\(12, 10\)"):
        plain.load_state_dict(layer.state_dict())
    plain.load_state_dict(made().state_dict())  # what never moved is the same layer


@pytest.mark.parametrize("cut", ["table", "sizes", "bytes", "digest"])
def test_a_damaged_table_is_refused_and_nothing_is_changed(cut):
    layer = made()
    layer.rewire([0], free(layer, 1), None)
    state, fresh = layer.state_dict(), made()
    text = bytes(state["_extra_state"].tolist())
    if cut == "table":
        text = text[:-9]
    if cut == "bytes":
        text = text[:-4] + b"****"
    if cut == "sizes":
        fresh = DynamicLinear(5, 5, "random", seed=0, nonzeros=4).double()
    if cut == "digest":
        text = b"0" * 64 + text[64:]
    state["_extra_state"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    before = copy.deepcopy(fresh.state_dict())
    with pytest.raises(RuntimeError, match="table of connections"):
        fresh.load_state_dict(state)
    assert all(torch.equal(before[k], v) for k, v in fresh.state_dict().items())


def test_a_moved_layer_keeps_its_rate_under_compile():
    layer = made()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    x = torch.randn(4, 12).double()
    compiled(x)
    layer.rewire(range(9), free(layer, 9), None)
    with torch.no_grad():
        layer.weight.normal_()
    assert torch.allclose(compiled(x), F.linear(x, layer.to_dense(), layer.bias), atol=1e-12)


WRONG = {
    "there are 30 connections": lambda m: m.rewire([30], [], None),
    "there are 120 places": lambda m: m.rewire([], [120], None),
    "names 3 twice": lambda m: m.rewire([3, 3], [], None),
    "is connected to input": lambda m: m.rewire([], m.pattern.flat[:1], None),
    "pass mask.nonzero": lambda m: m.rewire(torch.ones(30, dtype=torch.bool), [], None),
    "whole numbers, got float64": lambda m: m.rewire([0.5], [], None),
    "expected a torch.optim optimizer or None, got str": lambda m: m.rewire([0], [], "adam"),
    "does not hold the layer's weight": lambda m: m.rewire(
        [0], [], torch.optim.SGD(made().parameters(), 1)
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_input_is_refused_in_words_and_nothing_is_changed(text):
    layer = made()
    with pytest.raises(ValueError, match=text):
        WRONG[text](layer)
    assert torch.equal(layer.to_dense(), made().to_dense())


def test_an_optimizer_that_remembers_whole_matrices_is_refused_by_name():
    layer = made()
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = layer(torch.ones(2, 12).double()).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with pytest.raises(ValueError, match=r"LBFGS remembers .* clear optimizer\.state"):
        layer.rewire([0], [], optimizer)


def test_a_parametrized_weight_is_refused():
    layer = made()
    nn.utils.parametrize.register_parametrization(layer, "weight", nn.Identity())
    with pytest.raises(ValueError, match="is parametrized"):
        layer.rewire([0], [], None)


def test_label_and_certificate_wait_until_somebody_asks():
    layer = made()
    layer.rewire([0], free(layer, 1), None)
    assert "label" not in vars(layer.pattern)
    assert "moved(12, 10) [irregular]" in repr(layer)


@pytest.mark.parametrize("more", [3, -3])
def test_a_loss_of_the_step_before_may_still_be_held(more):
    layer = made()
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    x = torch.ones(4, 12).double()
    for k in range(3):
        optimizer.zero_grad()
        loss = layer(x).square().sum()  # (its graph lives until the next one takes the name)
        loss.backward()
        assert layer.weight.grad.shape == layer.weight.shape
        optimizer.step()
        if k == 1:
            layer.rewire([] if more > 0 else [0, 1, 2], free(layer, max(0, more)), optimizer)
    assert layer.weight.dtype == torch.float64
    assert len(layer.weight) == 30 + more


def test_a_checkpoint_of_another_count_may_come_while_a_loss_is_held():
    layer, other = made(), made(24)
    loss = layer(torch.ones(2, 12).double()).sum()
    loss.backward()
    layer.load_state_dict(other.state_dict())
    layer(torch.ones(2, 12).double()).sum().backward()
    assert layer.weight.grad.shape == (24,)
    assert loss.grad_fn is not None  # (held until here)


@pytest.mark.parametrize("first", [True, False])
def test_directions_of_all_values_together_cannot_follow(first):
    layer, other = made(), torch.nn.Linear(10, 2).double()
    layers = (layer, other) if first else (other, layer)
    optimizer = torch.optim.LBFGS([p for m in layers for p in m.parameters()])

    def closure():
        optimizer.zero_grad()
        loss = other(layer(torch.ones(2, 12).double())).square().sum()
        loss.backward()
        return loss

    for _ in range(2):  # (before a step it remembers nothing, and it will)
        with pytest.raises(ValueError, match="LBFGS remembers directions of all values together"):
            layer.rewire([0], [], optimizer)
        optimizer.step(closure)


def test_a_new_value_under_rprop_begins_at_its_rate():
    layer = made()
    optimizer = torch.optim.Rprop(layer.parameters(), 0.02)
    for _ in range(2):
        step(layer, optimizer)
    places = free(layer, 3)
    layer.rewire([0, 1, 2], places, optimizer)
    new = torch.isin(torch.from_numpy(layer.pattern.flat), places)
    sizes = optimizer.state[layer.weight]["step_size"]
    assert (sizes[new] == 0.02).all()
    assert (sizes[~new] != 0.02).any()
    step(layer, optimizer)
    assert (layer.weight[new].abs() > 0.005).all()
