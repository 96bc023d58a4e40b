"""Independent subnets: real slices, and what cannot be cut is named."""

import copy
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bibd import SparseLinear, make_pattern
from harness import cost
from harness.nets.dropout import KeyedDropout
from harness.nets.perceptron import mlp
from harness.stack import stack
from parallel import World, train
from parallel.executors import executor_of
from parallel.strategy import make
from parallel.strategy.base import random
from parallel.subnets.cutting import ScaledLinear, chain, give, partition, subnet, take
from parallel.world.comm import Comm, nbytes
from tests.drawn import examples


def net(widths=(5, 8, 6, 3), norm=None):
    torch.manual_seed(0)
    layers = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i + 2 < len(widths):
            layers += [norm(b)] if norm else []
            layers += [nn.ReLU(), nn.Dropout(0.0)]
    return nn.Sequential(*layers).double()


def masked(model, how, parts, x, rescale):
    """The full net with everybody else's neurons silenced: forward by hand, layer by layer."""
    hidden, pre = 0, x
    for module in model.children():
        if isinstance(module, nn.Linear):
            factor = 1.0
            if hidden and rescale and not how.normed[hidden]:
                factor = how.widths[hidden - 1] / len(parts[hidden - 1])
            pre = nn.functional.linear(pre * factor, module.weight, module.bias)
            if hidden < len(how.widths):
                mask = torch.zeros(how.widths[hidden], dtype=pre.dtype)
                mask[parts[hidden]] = 1
                here = mask
            hidden += 1
        elif isinstance(module, nn.LayerNorm):
            own = parts[hidden - 1]
            out = torch.zeros_like(pre)
            piece = pre[:, own]
            mean, var = piece.mean(1, keepdim=True), piece.var(1, keepdim=True, unbiased=False)
            normal = (piece - mean) / (var + module.eps).sqrt()
            out[:, own] = normal * module.weight[own] + module.bias[own]
            pre = out
        else:
            pre = module(pre)
        if hidden <= len(how.widths):
            pre = pre * here
    return pre


@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d, nn.LayerNorm])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("rescale", [True, False])
def test_a_subnet_is_the_masked_net(workers, norm, rescale):
    """Output and gradients, on what it owns; elsewhere the masked net's gradient is zero."""
    model = net(norm=norm)
    how = chain(model)
    x = torch.randn(7, 5, dtype=torch.float64)
    for parts in partition(how.widths, workers, random(1)):
        small = subnet(model, how, parts, rescale)
        scaled = [m for m in small if isinstance(m, ScaledLinear)]
        wanted = 1 if norm else 2  # a layer that no norm follows, and the last
        assert len(scaled) == (wanted if rescale and workers > 1 else 0)
        twin = copy.deepcopy(model)
        a, b = small(x), masked(twin, how, parts, x, rescale)
        assert torch.allclose(a, b, atol=1e-12)
        a.square().sum().backward()
        b.square().sum().backward()
        grads = dict(small.named_parameters())
        for name, p in twin.named_parameters():
            whole = torch.zeros_like(p)
            give(whole, grads[name].grad, how.cuts.get(name, (None, None)), parts)
            assert torch.allclose(p.grad, whole, atol=1e-11), name


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_a_steady_layer_is_scaled_and_its_gradients_are_not(stacked, bias):
    """S W x + b forward; backward W g for what lies below, g x / s for the weight, g for the bias."""
    layers = [nn.Linear(6, 4, bias).double() for _ in range(2)]
    for layer in layers:
        layer.__class__, layer.scale, layer.steady = ScaledLinear, 3.0, True
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    g = torch.randn(2, 5, 4, dtype=torch.float64)
    net = stack(layers) if stacked else None
    y = net(x) if net else torch.stack([f(v) for f, v in zip(layers, x, strict=True)])
    y.backward(g)
    for i, layer in enumerate(layers):
        w, b = layer.weight.detach(), layer.bias.detach() if bias else 0.0
        assert torch.allclose(y[i], 3 * (x[i] @ w.mT) + b)
        assert torch.allclose(x.grad[i], g[i] @ w)
        got = net.weight.grad[i] if net else layer.weight.grad
        assert torch.allclose(got, g[i].mT @ x[i].detach() / 3)
        if bias:
            db = net.bias.grad[i].flatten() if net else layer.bias.grad
            assert torch.allclose(db, g[i].sum(0))


def test_a_rate_that_suits_the_plain_net_suits_its_subnets():
    """Lr 0.1 with momentum 0.9 on digits: 0.97 for the plain net; with rescale=True chance."""

    def last(strategy, workers):
        optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
        world, words = World.sim(workers), dict(steps=300, batch_size=64, every=300)
        model = mlp((64, 64, 64, 10), 0)
        (row,) = train(
            model, "digits", optimizer=optimizer, strategy=strategy, world=world, **words
        )
        return row["test_accuracy"]

    assert last(make("all_reduce"), 1) > 0.9
    assert last(make("ist"), 2) > 0.85
    assert last(make("ist"), 4) > 0.7
    assert last(make("ist", rescale=True), 4) < 0.3


@examples(40)
@given(st.lists(st.integers(6, 40), min_size=1, max_size=4), st.integers(1, 6), st.integers(0, 999))
def test_cut_and_give_back_is_the_identity(widths, workers, seed):
    model = net((5, *widths, 3))
    how = chain(model)
    split = partition(how.widths, workers, random(seed))
    for layer, width in enumerate(widths):
        owned = torch.cat([own[layer] for own in split])
        assert torch.equal(owned.sort().values, torch.arange(width))
        sizes = [len(own[layer]) for own in split]
        assert max(sizes) - min(sizes) <= 1
    for name, p in model.named_parameters():
        cut = how.cuts.get(name, (None, None))
        back = p.detach().clone()
        for parts in split:
            give(back, take(p.detach(), cut, parts), cut, parts)
        assert torch.equal(back, p)


def test_bytes_and_multiply_adds_by_the_formula():
    """784-1024-1024-10, four workers: a quarter of the outer matrices, a 16th of the middle one."""
    model = mlp((784, 1024, 1024, 10))
    executor = executor_of(make("ist", period=20), Comm(4), seed=0)
    small = executor.cut([copy.deepcopy(model) for _ in range(4)], 0)
    weights = 784 * 256 + 256 * 256 + 256 * 10
    biases = 256 + 256 + 10
    own = nbytes(dict(small[0].named_parameters()))
    assert own == 4 * (weights + biases)
    due = executor.states.size("state")
    assert due == 3 * own  # rank 0's own piece stays
    full = sum(p.numel() for p in model.parameters()) * 4
    local = make("local_sgd", period=20)
    local.init(4)
    assert executor.strategy.theory(due, 2000) / local.theory(full, 2000) < 0.25
    macs = [cost.total(m, (784,)).macs for m in (small[0], model)]
    assert macs[0] == weights
    assert macs[0] / macs[1] < 0.20


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            nn.Sequential(nn.Linear(4, 6)),
            "needs two or more Linear layers in a row to cut, found 1",
        ),
        (nn.Linear(4, 6), "Linear is no Sequential"),
        (nn.Sequential(nn.Linear(4, 6), nn.Softmax(1), nn.Linear(6, 3)), r"1 \(Softmax\) between"),
        (nn.Sequential(nn.Linear(4, 6), nn.GroupNorm(2, 6), nn.Linear(6, 3)), r"1 \(GroupNorm\)"),
        (
            nn.Sequential(
                nn.Linear(4, 6),
                nn.ReLU(),
                SparseLinear(6, 6, make_pattern("random", 6, 6, seed=0, nonzeros=12)),
                nn.ReLU(),
                nn.Linear(6, 3),
            ),
            r"2 \(SparseLinear\) between",
        ),
    ],
)
def test_what_cannot_be_cut_is_named(model, text):
    with pytest.raises(ValueError, match=text):
        chain(model)


def test_shared_weights_are_named():
    a = nn.Linear(4, 4)
    b = nn.Linear(4, 4)
    b.weight = a.weight
    with pytest.raises(ValueError, match=r"ist: 2\.weight shares its weight"):
        chain(nn.Sequential(a, nn.ReLU(), b, nn.ReLU(), nn.Linear(4, 3)))


def test_what_belongs_to_nobody_is_shared_and_named_in_the_chain():
    model = nn.Sequential(
        nn.Conv1d(1, 2, 1),
        nn.Flatten(),
        nn.Linear(8, 6),
        nn.Tanh(),
        KeyedDropout(0.1),
        nn.Linear(6, 3),
    )
    how = chain(model)
    assert how.widths == [6]
    owned = set(how.cuts)
    assert owned == {"2.weight", "2.bias", "5.weight", "5.bias"}
    assert how.cuts["5.bias"] == (None, None)
    shared = {k for k, _ in model.named_parameters()} - owned
    assert shared == {"0.weight", "0.bias"}
    (parts, _) = partition(how.widths, 2, random(0))
    small = subnet(model, how, parts, True)
    assert isinstance(small[5], ScaledLinear)
    assert (small[5].scale, small[5].steady) == (2, False)
    assert subnet(model, how, parts, "auto")[5].steady
    assert not isinstance(small[2], ScaledLinear)
