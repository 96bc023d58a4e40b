"""What the benchmark of int8 compares."""

import pytest
import torch

from benchmarks import int8, pages
from tests.compress.int8.needs import needs_the_extra


@needs_the_extra
def test_all_sides_answer_the_same_net(monkeypatch):
    net = int8.perceptron(16, 16, 20, 3)
    found = int8.models(net, int8.SIDES)
    assert tuple(found) == int8.SIDES
    x = torch.randn(5, 16)
    right = found["float32"](x)
    for side, call in found.items():
        assert call(x).shape == right.shape
        if side != "sparse":
            assert (call(x) - right).abs().max() < 0.1 * right.abs().max()


def test_ratios_are_of_the_same_round(monkeypatch):
    took = {"float32": [(4.0, 4.0), (2.0, 2.0)], "bf16": [(2.0, 2.0), (1.0, 1.0)]}
    monkeypatch.setattr(int8, "in_turn", lambda calls, rounds: took)
    calls = {side: lambda: torch.ones(1, 1) for side in took}
    found = int8.line(calls, 2)
    assert found["over_bf16"] == 2.0
    assert found["float32_ms"] == 3000.0
    assert found["apart_bf16"] == 0.0


def test_the_page_shows_the_record(monkeypatch, tmp_path):
    row = {"name": "net, batch 1", "float32_ms": 1.25, "over_onnx_static": 3.04}
    monkeypatch.setattr(pages, "HERE", tmp_path)
    assert list(pages.int8())[1][0] == "not measured yet"
    (tmp_path / "int8.json").write_text("{}")
    monkeypatch.setattr(pages, "record", lambda name: {"speed": [row]})
    _, line = pages.int8()
    assert line[:2] == ("net, batch 1", "1.25")
    assert line[2 + list(pages.SIDES).index("onnx_static")] == "3.0"


@needs_the_extra
def test_files_are_counted_beside_float32():
    found = int8.files("net", int8.perceptron(64, 64, 72, 3))
    assert found["onnx_static_ratio"] == pytest.approx(found["onnx_static"] / found["float32"])
    assert found["float32"] == 4 * (65 * 64 + 65 * 72 + 73 * 3)
