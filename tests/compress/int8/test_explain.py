"""What would be slower in int8, named with its layers and the evidence."""

import json
import re

import pytest
from torch import nn

from compress import explain
from compress.identities.int8 import conv, mlp
from compress.int8 import explain as module
from compress.int8 import extras
from tests.tree import ROOT


def whats(net, how):
    return [reason.what for reason in explain(net, how)]


@pytest.fixture(autouse=True)
def vnni(monkeypatch):
    monkeypatch.setattr(extras, "overflows", lambda: False)


def test_dynamic_convolutions_are_named():
    (reason,) = explain(conv(), "onnx_dynamic")
    assert reason.layers == ("0.0", "1.first", "1.second")
    assert "slower than float32" in reason.what
    assert "issue 12854" in reason.evidence
    assert str(reason).startswith("0.0, 1.first, 1.second: dynamic int8")
    assert explain(mlp(), "onnx_dynamic") == []


def test_dense_int8_beats_sparse_convolutions_and_not_sparse_perceptrons():
    assert ["faster still than float32" in what for what in whats(conv(), "onnx_static")] == [True]
    (what,) = whats(mlp(), "onnx_static")
    assert "float32 that skips them is faster" in what


def test_exits_and_leading_norms_are_named():
    first = "no sample leaves early"
    assert any(what.startswith(first) for what in whats(conv(early=True), "onnx_static"))
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    (reason,) = explain(net)
    assert reason.layers == ("0",)


def test_torchao_is_for_few_shapes_and_larger_nets():
    small, large = nn.Linear(9, 9), nn.Linear(500, 500)
    assert len(whats(small, "torchao")) == 2
    assert whats(large, "qat") == whats(large, "torchao") != []
    assert explain(large) == []


@pytest.mark.parametrize("how", ["torchao_dynamic", "weight_only"])
def test_ways_that_are_not_offered_say_why(how):
    (reason,) = explain(mlp(), how)
    assert str(reason).startswith("the net: ")


def test_processors_that_overflow_are_told_of(monkeypatch):
    monkeypatch.setattr(extras, "overflows", lambda: True)
    assert any("7 bits" in what for what in whats(mlp(), "onnx_static"))


def test_an_unknown_kind_and_what_is_no_net_are_refused():
    with pytest.raises(ValueError, match=r"unknown how 'dynamic'"):
        explain(mlp(), "dynamic")
    with pytest.raises(ValueError, match="explain takes a net, got a str"):
        explain("net")


def test_every_way_of_quantize_is_explained():
    from compress.int8.quantize import HOME

    assert set(HOME) < set(module.KINDS)


def test_every_time_that_is_told_is_in_the_record():
    record = json.loads((ROOT / "benchmarks/int8.json").read_text())
    known = {f"{v:.3g}" for row in record["speed"] for k, v in row.items() if k.endswith("_ms")}
    told = []
    for net in (mlp(), conv(), nn.Linear(9, 9)):
        for how in module.KINDS:
            for evidence in (reason.evidence for reason in explain(net, how)):
                told += re.findall(
                    r"(?<![\d-])(\d+\.\d+|(?<=, )\d{3}(?= for)|(?<=for )\d{3})", evidence
                )
    assert {"18.9", "413", "278", "0.517", "0.145", "11.1", "0.377"} <= {*told}
    assert {*told} <= known
