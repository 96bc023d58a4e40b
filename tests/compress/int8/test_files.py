"""Files of nets in int8 that were cut, changed or made by something else."""

import contextlib
import io
import json
import re
import zipfile

import pytest
import torch
from torch import nn

import compress
from compress.identities.int8 import INPUTS
from compress.int8 import archive, graphs, quantize
from tests.compress.int8.needs import needs_export, needs_the_extra


@pytest.fixture(scope="module")
def contents():
    """Small files of both kinds."""
    net = nn.Sequential(nn.Linear(INPUTS, 6), nn.ReLU(), nn.Linear(6, 5)).eval()
    x = torch.randn(99, INPUTS, generator=torch.Generator().manual_seed(0))
    return {how: compress.quantize(net, x, how).content for how in ("onnx_static", "torchao")}


@needs_the_extra
@pytest.mark.parametrize("how", ["onnx_static", "torchao"])
def test_a_file_that_was_cut_or_changed_is_refused(how, contents, tmp_path):
    content, path = contents[how], tmp_path / "net"
    places = range(0, len(content), 97)
    changed = [content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :] for k in places]
    taken = 0
    for data in [*changed, *(content[:k] for k in places), content + b"x"]:
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            found = compress.load_quantized(path)
            assert found.facts == quantize.opened(content).facts
            taken += 1
    assert taken == 0 or how == "torchao"  # (a zip has times and comments, which nobody reads)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: it is damaged"):
        compress.load_quantized(path)


@needs_the_extra
def test_other_files_are_refused(tmp_path):
    import onnx
    from onnx import helper

    with pytest.raises(FileNotFoundError, match=r"no file .*net: quantize\(net, x\).save"):
        compress.load_quantized(tmp_path / "net")
    path = tmp_path / "other"
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(ValueError, match=r"other: it is damaged, or no ONNX model"):
        compress.load_quantized(path)
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match=r"no file of compress.quantize: run it with onnxruntime"):
        compress.load_quantized(path)


@needs_the_extra
def test_a_state_dict_is_no_net_in_int8(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"state.pt: it is damaged, or no net in int8"):
        compress.load_quantized(tmp_path / "state.pt")


def test_a_kill_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    import os

    from compress.int8.quantized import Facts, Quantized

    path = tmp_path / "net"
    path.write_bytes(b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Quantized(b"new", Facts("torchao", (1,), (1,), 8, ())).save(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_an_archive_that_claims_too_much_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("facts", "graph", "names"):
            file.writestr(f"{name}.json", "[]")
        file.writestr("tensors", bytes(10**6))
    with pytest.raises(ValueError, match="it claims more than it can hold"):
        archive.read(buffer.getvalue())


@pytest.mark.parametrize(
    ("names", "data", "text"),
    [
        ([["a", "object", [1]]], bytes(8), "tensor a of type 'object'"),
        ([["a", "int8", [9]]], bytes(8), "damaged"),
        ([["a", "int8", [7]]], bytes(8), "8 bytes of tensors, expected 7"),
        ([["a", "int8", [-1]]], bytes(8), "damaged"),
        ([["a"]], bytes(8), "damaged"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(names, data, text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, value in (("facts", {}), ("graph", []), ("names", names)):
            file.writestr(f"{name}.json", json.dumps(value))
        file.writestr("tensors", data)
    with pytest.raises(ValueError, match=text):
        archive.read(buffer.getvalue())


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([["input"], ["aten.from_file.default", ["/etc/passwd"], {}]], "no operator of such files"),
        ([["input"], ["os.system", ["true"], {}]], "no operator of such files"),
        ([["input"], ["aten.relu.__class__", [{"node": 0}], {}]], "no operator"),
        ([["input"], ["aten.relu.default", [{"node": 4}], {}]], "damaged"),
        ([["tensor", "b"]], "damaged"),
        ("input", "damaged"),
        (7, "damaged"),
    ],
)
def test_graphs_of_strangers_run_nothing(lines, text):
    with pytest.raises(ValueError, match=text):
        graphs.read(lines, {"a": torch.zeros(1)})


@needs_export
def test_an_operator_that_files_do_not_hold_is_named():
    class Spectral(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).real

    program = torch.export.export(Spectral().eval(), (torch.zeros(2, 4),))
    with pytest.raises(ValueError, match=r"aten.fft_fft.default is none of the operators"):
        graphs.write(program)
