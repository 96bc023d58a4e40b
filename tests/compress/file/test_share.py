"""Sharing of values: k-means on a line, and centroids that train."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import compress
from bibd import DynamicLinear, SparseConv2d, SparseLinear
from compress import bake, share
from compress.file.share import kmeans
from tests.compress.file.nets import pruned
from tests.drawn import examples

VALUES = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=60)


@given(VALUES, st.integers(1, 16))
@examples(200)
def test_every_value_has_the_nearest_centroid_and_every_centroid_is_the_mean_of_its_values(
    values, clusters
):
    x = np.array(values)
    found, index = kmeans(x, clusters)
    assert len(found) <= clusters
    assert (np.diff(found) > 0).all()
    assert set(index) == set(range(len(found)))
    size = np.abs(x).max()
    rounding = 60 * 2.0**-52 * max(1.0, size)  # sums of 60 numbers, and their differences
    near = np.abs(x[:, None] - found).min(1)
    assert (np.abs(x - found[index]) <= near + 2 * rounding).all()
    for k in range(len(found)):
        assert abs(found[k] - x[index == k].mean()) <= 60 * rounding


def test_more_clusters_than_values_are_the_values():
    found, index = kmeans(np.array([3.0, -1, 3, 5]), 4)
    assert found.tolist() == [-1, 3, 5]
    assert found[index].tolist() == [3, -1, 3, 5]
    assert kmeans(np.full(9, 2.5), 8)[0].tolist() == [2.5]
    assert kmeans(np.zeros(0), 8)[0].tolist() == []


def test_it_starts_from_equal_steps_between_the_least_and_the_largest():
    # Equal steps begin at -1, 0, 1, where nothing moves; from random values .9 could get two.
    found, _ = kmeans(np.array([-1.0, -1, -0.1, 0.0, 0.1, 0.9, 1.1]), 3)
    assert found == pytest.approx([-1, 0, 1])


@pytest.mark.parametrize(
    "layer", [nn.Linear(9, 7), nn.Conv2d(3, 4, 3), nn.Conv1d(4, 4, 2, groups=2)]
)
def test_the_gradient_of_a_centroid_is_the_sum_of_those_of_its_weights(layer):
    net = pruned((9, 7)).double() if isinstance(layer, nn.Linear) else nn.Sequential(layer).double()
    shape = {nn.Linear: (5, 9), nn.Conv2d: (2, 3, 6, 6), nn.Conv1d: (2, 4, 6)}[type(layer)]
    x = torch.randn(*shape, dtype=torch.float64)
    share(net, 2)
    gather = net[0].parametrizations.weight[0]
    plain = bake_copy(net)
    for each in (net, plain):
        each(x).square().sum().backward()
    flat = plain[0].weight.grad.reshape(-1)[gather.places]
    for k in range(len(net[0].parametrizations.weight.original)):
        got = net[0].parametrizations.weight.original.grad[k]
        torch.testing.assert_close(got, flat[gather.index == k].sum(), rtol=1e-12, atol=1e-12)
    assert torch.equal(net[0].bias.grad, plain[0].bias.grad)


def test_with_means_sgd_of_centroids_is_sgd_of_weights_that_share_again_after_each_step():
    net = pruned((9, 8, 5)).double()
    share(net, 2, gradient="mean")
    places = {n: net[n].parametrizations.weight[0] for n in (0, 2)}
    plain = bake_copy(net)
    options = dict(lr=0.1, momentum=0.9, weight_decay=0.01)
    sides = [(each, torch.optim.SGD(each.parameters(), **options)) for each in (net, plain)]
    x, y = torch.randn(64, 9, dtype=torch.float64), torch.randint(5, (64,))
    for _ in range(5):
        for each, optimizer in sides:
            optimizer.zero_grad()
            nn.functional.cross_entropy(each(x), y).backward()
            optimizer.step()
        for n, gather in places.items():
            flat = plain[n].weight.data.reshape(-1)
            nearest = torch.zeros_like(flat)
            for k in range(4):
                own = gather.places[gather.index == k]
                nearest[own] = flat[own].mean()
            flat.copy_(nearest)
            torch.testing.assert_close(net[n].weight.reshape(-1), flat, rtol=1e-11, atol=1e-12)
            torch.testing.assert_close(net[n].bias, plain[n].bias, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("gradient", "ends"), [("mean", True), ("sum", False)])
def test_the_rate_of_single_weights_suits_means_and_not_sums(gradient, ends):
    # Of 100 weights that share one value, each with the curvature 1: theirs is 1, that of sums 100.
    net = nn.Sequential(nn.Linear(100, 1, bias=False)).double()
    nn.init.ones_(net[0].weight)
    share(net, 1, gradient=gradient)
    optimizer = torch.optim.SGD(net.parameters(), 0.5)
    for _ in range(20):
        optimizer.zero_grad()
        (net[0].weight.square().sum() / 2).backward()
        optimizer.step()
    assert bool(net[0].weight.abs().max() < 1e-5) is ends


def test_means_move_no_value_and_stay_with_copies():
    net = pruned()
    share(net, 3, gradient="mean")
    found = net[0].parametrizations.weight
    assert torch.equal(net[0].weight.reshape(-1)[found[0].places], found.original[found[0].index])
    copied = copy.deepcopy(net)
    for each in (net, copied):
        each(torch.ones(1, 20)).sum().backward()
    grads = (each[0].parametrizations.weight.original.grad for each in (net, copied))
    torch.testing.assert_close(*grads, rtol=0, atol=0)
    with pytest.raises(ValueError, match="gradient of shared values"):
        share(pruned(), 3, gradient="middle")


def bake_copy(net):
    made = copy.deepcopy(net)
    bake(made)
    made.zero_grad()
    return made


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_any_optimizer_trains_centroids_and_leaves_zeros(kind):
    net = pruned()
    zeros = [p == 0 for p in (net[0].weight, net[2].weight)]
    assert share(net, bits=2) == ["0", "2"]
    optimizer = kind(net.parameters(), lr=0.01)
    x, y = torch.randn(64, 20), torch.randint(5, (64,))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    before = net(x)
    assert bake(net) == ["0", "2"]
    assert torch.equal(net(x), before)
    for layer, zero in zip((net[0], net[2]), zeros, strict=True):
        assert (layer.weight[zero] == 0).all()
        assert len(layer.weight.unique()) <= 5
    assert list(net.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_a_baked_net_trains_on_while_somebody_holds_an_old_graph():
    net = pruned()
    share(net, 2)
    loss = net(torch.randn(3, 20)).square().sum()
    loss.backward()
    bake(net)
    assert net[0].weight.grad is None
    net(torch.randn(3, 20)).square().sum().backward()
    assert net[0].weight.grad.shape == net[0].weight.shape
    assert loss.grad_fn is not None


def test_sparse_layers_share_too():
    net = nn.Sequential(
        SparseConv2d(4, 8, 3, pattern="random", seed=1), nn.Flatten(), SparseLinear(32, 9)
    )
    share(net, {"0": 2, "2": 3})
    x = torch.randn(2, 4, 4, 4)
    before = net(x)
    before.sum().backward()
    assert net[0].parametrizations.weight.original.grad.shape == (4,)
    bake(net)
    assert torch.equal(net(x), before)
    assert len(net[2].weight.unique()) <= 8


def test_who_wants_plain_weights_says_that_they_are_baked_first():
    net = nn.Sequential(DynamicLinear(20, 16, "random", seed=0, nonzeros=64), nn.Linear(16, 5))
    masks = compress.prune(net, 0.5)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    share(net, 2)
    for layer, ask in {
        "1": lambda: compress.prune(net, 0.5),
        "0": lambda: compress.Moving(net, optimizer, steps=400),
    }.items():
        with pytest.raises(ValueError, match=rf"weight of '{layer}' .* compress.bake\(net\) first"):
            ask()
    for ask in (compress.freeze, compress.Masked):
        with pytest.raises(ValueError, match=r"weight of '1' .* compress.bake\(net\) first"):
            ask(net, masks)


def test_layers_can_be_left_as_they_are():
    net = pruned()
    assert share(net, {"0": None, "*": 2}) == ["2"]
    assert share(copy.deepcopy(net), 3, skip="2") == ["0"]
    assert share(net, 3, skip=("2",)) == ["0"]
    assert bake(net) == ["0", "2"]
    assert bake(net) == []


def test_what_cannot_be_shared_is_refused_in_words_and_nothing_is_changed():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match=r"0 and 1 hold one .* skip=\('0', '1'\)"):
        share(tied)
    assert isinstance(tied[0].weight, nn.Parameter)
    bad = pruned()
    with torch.no_grad():
        bad[2].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"2\.weight has values that are NaN or infinite"):
        share(bad)
    assert isinstance(bad[0].weight, nn.Parameter)
    net = pruned()
    share(net)
    with pytest.raises(ValueError, match=r"0\.weight is parametrized already: bake\(net\)"):
        share(net)


def test_names_of_layers_that_there_are_not_are_refused():
    net = nn.Sequential(*pruned(), nn.BatchNorm1d(5))
    with pytest.raises(ValueError, match=r"unknown layer to skip 'fc1': there are 0, 2"):
        share(net, 3, skip="fc1")
    with pytest.raises(ValueError, match=r"unknown layer with bits 'fc1': there are 0, 2, 3"):
        share(net, {"fc1": 2, "*": 4})
    assert share(net, {"3": None, "*": 4}) == ["0", "2"]


def test_a_layer_without_weights_has_no_centroids():
    net = nn.Sequential(nn.Linear(3, 2))
    nn.init.zeros_(net[0].weight)
    share(net)
    assert torch.equal(net(torch.ones(1, 3))[0], net[0].bias)
    bake(net)
    assert (net[0].weight == 0).all()


def test_values_may_be_shared_after_masks_were_kept():
    net = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    masks = compress.prune(net, 0.2)
    masked = compress.Masked(net, masks, optimizer)
    share(net, 3)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(6, 30)).square().sum().backward()
        optimizer.step()
    net.load_state_dict(copy.deepcopy(net.state_dict()))
    bake(net)
    for name, mask in masked.masks.items():
        assert not net.get_parameter(name)[~mask].any()


def test_a_weight_that_another_module_holds_is_not_shared():
    table, layer = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
    layer.weight = table.weight
    with pytest.raises(ValueError, match="0 and 1 hold one and the same weight"):
        share(nn.Sequential(table, layer), 2)
    a, b = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
    b.weight = a.weight
    tied = nn.Sequential(a, b)
    with pytest.raises(ValueError, match="0 and 1 hold one and the same weight"):
        share(tied, 2, skip=["0"])
    assert tied[0](torch.randn(3, 4)).shape == (3, 4)
