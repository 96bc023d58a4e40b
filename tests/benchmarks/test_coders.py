"""Whole numbers of one net, coded by several."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import coders


def shared() -> Any:
    """A net of two values a layer, most weights 0."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            weight: Any = layer.weight
            weight.copy_(torch.where(weight.abs() > weight.abs().median(), weight.sign() / 2, 0.0))
    return net


def test_whole_numbers_keep_zero_order_and_equality():
    net = shared()
    first, second = coders.whole_numbers(net)
    for numbers, layer in ((first, net[0]), (second, net[2])):
        assert (numbers == 2 * layer.weight.detach().numpy()).all()
        assert set(np.unique(numbers)) == {-1, 0, 1}


def test_ours_and_the_rest_are_the_file():
    found = coders.line(shared(), 0.5, 1)
    assert found["ours"] + found["rest"] == found["file"]
    assert found["name"] == "50 %, 1 bits"
    assert found["bz2"] > 0


def test_the_coder_of_the_standard_is_set_to_its_smallest(monkeypatch):
    class Encoder:
        def initCtxModels(self, unary, option):
            self.size = 100 + unary - 3 * option

        def encodeLayer(self, numbers, quantised, scan, *more):
            self.size += abs(scan - 2) + len(numbers)

        def finish(self):
            return bytes(self.size)

    module = SimpleNamespace(Encoder=Encoder, HdspMode=SimpleNamespace(AlwaysOff=0))
    monkeypatch.setattr(coders, "deepcabac", lambda: module)
    found = coders.line(shared(), 0.5, 1)
    assert found["deepcabac"] == (98 + 20) + (98 + 4)


def test_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(coders, "deepcabac", lambda: None)
    assert set(coders.coders()) == {"bz2", "xz"}
