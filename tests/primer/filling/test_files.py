"""Letters of layers, counted in the text of a page; and what that text computes."""

import base64
import copy

import numpy as np
import pytest
import torch
from torch import nn

from bibd import SparseLinear
from harness.exits import attach
from mlp.web.packed import packed, round8
from primer.count import counting
from primer.filling import files, page

INPUTS, SHAPE = 16, (16,)


def made(sparse, int8=False):
    """A net with an exit after its first layer, as the page takes it."""
    torch.manual_seed(0)
    linear = SparseLinear if sparse else nn.Linear
    stages = [nn.Sequential(linear(a, b), nn.ReLU()) for a, b in ((INPUTS, 20), (20, 20))]
    net = attach(nn.Sequential(*stages, nn.Linear(20, 3)), (0,), SHAPE, 3, head="linear").eval()
    if int8:
        round8(net)
    return net


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 100])
def test_letters_of_bytes(size):
    assert files.base64(size) == len(base64.b64encode(bytes(size)))


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_letters_of_a_net_are_those_that_are_there(sparse, int8):
    net = made(sparse, int8)
    assert files.counted(packed(net, int8)) == files.of_net(net, int8)


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_text_answers_as_the_net_and_leaves_where_it_leaves(sparse, int8):
    net = made(sparse, int8)
    text = packed(net, int8)
    layers = [[one and page.opened(one) for one in text[key]] for key in ("stages", "heads")]
    x = torch.randn(40, INPUTS)
    for bound in (0.0, 0.5, 1.0):
        there = net.early(x, bound)
        found = [page.answer(*layers, one, bound) for one in x.numpy()]
        assert [a.exit for a in found] == there.exit.tolist()
        assert {a.macs for a in found} <= {cost.macs for cost in net.costs()}
        logits = torch.tensor(np.stack([a.logits for a in found]))
        # three layers of sums of at most 20 products in float32, none of them above 8
        assert (logits - there.logits.detach()).abs().max() < 3 * 20 * 8 * 2.0**-24
        assert len({a.exit for a in found}) == (2 if bound == 0.5 else 1)


def test_a_layer_multiplies_each_value_once():
    net = made(sparse=True)
    layer = page.opened(packed(net, False)["stages"][0])
    x = np.random.default_rng(0).standard_normal(INPUTS)
    with counting() as count:
        y = page.product(layer, x)
    slow = layer.bias.astype(float)
    for value, column, row in zip(layer.values, layer.columns, layer.rows, strict=True):
        slow[row] += value * x[column]
    assert count.macs == len(layer.values) == net.stages[0][0].weight.numel()
    assert abs(y - slow).max() < 20 * 4 * 2.0**-52


def test_shares_are_a_softmax():
    logits = np.array([1.0, -2.0, 700.0, 699.0])
    there = torch.softmax(torch.tensor(logits), 0).numpy()
    assert abs(page.shares(logits) - there).max() < 4 * 2.0**-52


def test_a_copy_in_int8_is_smaller_by_its_values_only():
    net = made(sparse=True)
    small = copy.deepcopy(net)
    round8(small)
    text, less = packed(net, False), packed(small, True)
    for one, other in zip(text["stages"], less["stages"], strict=True):
        assert one.get("columns") == other.get("columns")
        assert len(other["values"]) < len(one["values"]) / 3
