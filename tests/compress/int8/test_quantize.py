"""Nets in int8: they answer nearly as before, from the bytes that are on the disk."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import compress
from compress.identities.int8 import INPUTS, READ, SIDE, conv, mlp, samples
from compress.int8 import extras, norms, onnx_static, quantize
from tests.compress.int8.needs import needs_export, needs_the_extra
from tests.tree import ROOT

HOWS = ("onnx_static", "torchao", "qat")
STEP = 1 / 255  # of a range that 8 bits cut


def calibration(net):
    x = torch.cat([samples(net, seed) for seed in range(2, 6)])
    with torch.no_grad():
        return x, net(x).argmax(1)  # (so that to learn more changes little)


@pytest.fixture(scope="module")
def made():
    """Each net in each way, made once."""
    known = {}

    def make(name, how):
        if (name, how) not in known:
            net = {"mlp": mlp, "conv": lambda: conv(early=True)}[name]()
            options = {"lr": 1e-6} if how == "qat" else {}
            known[name, how] = net, compress.quantize(net, calibration(net), how, **options)
        return known[name, how]

    return make


@needs_the_extra
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_logits_are_nearly_those_of_the_net(name, how, made):
    """Each rounding moves a value by half a step of a range; so few layers add few of these."""
    net, quantized = made(name, how)
    x = samples(net)
    with torch.no_grad():
        right = net.forward_exits(x) if name == "conv" else [net(x)]
    found = quantized.forward_exits(x)
    assert len(found) == len(right) == len(quantized.facts.classes)
    for a, b in zip(found, right, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < 20 * STEP * (right[-1].max() - right[-1].min())
    assert not torch.equal(found[-1], right[-1])
    assert torch.equal(quantized(x), found[-1])


@needs_the_extra
@pytest.mark.parametrize("how", HOWS)
def test_a_file_answers_the_same_bits_in_another_process(how, made, tmp_path):
    net, quantized = made("conv", how)
    size = quantized.save(tmp_path / "net")
    assert size == quantized.bytes == (tmp_path / "net").stat().st_size
    x = samples(net)
    again = compress.load_quantized(tmp_path / "net")
    assert again.facts == quantized.facts
    assert torch.equal(again(x), quantized(x))
    assert torch.equal(copy.deepcopy(quantized)(x), quantized(x))
    torch.save(x, tmp_path / "x")
    argv = [sys.executable, "-c", READ, *(str(tmp_path / word) for word in ("net", "x", "y"))]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(tmp_path / "y", weights_only=True), quantized(x))


@needs_the_extra
@pytest.mark.parametrize("how", ["onnx_static", "torchao"])
def test_a_file_is_hardly_more_than_a_byte_a_weight(how, tmp_path):
    """An output has a scale of 4 bytes, a zero point, a bias of 4 and its scale; and the graph."""
    net = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 200)).eval()
    size = compress.quantize(net, torch.randn(99, 400), how).save(tmp_path / "net")
    weights, outputs, graph = 400 * 300 + 300 * 200, 300 + 200, 3000
    assert size < weights + 13 * outputs + graph


@needs_the_extra
@pytest.mark.parametrize("how", ["onnx_static", "torchao"])
def test_any_number_of_samples_in_any_layout(how, made):
    net, quantized = made("conv", how)
    x = samples(net)
    whole = quantized(x)
    for n in (1, 3):
        assert torch.equal(quantized(x[:n]), whole[:n])
    assert quantized(x[:0]).shape == (0, 5)
    assert torch.equal(quantized(x.contiguous(memory_format=torch.channels_last)), whole)
    assert torch.equal(quantized(x.clone().requires_grad_(True)), whole)
    assert not whole.requires_grad


@needs_the_extra
@pytest.mark.parametrize(
    ("x", "text"),
    [
        (torch.zeros(2, INPUTS + 1), r"expected a batch \(samples, 24\), got \(2, 25\)"),
        (torch.zeros(INPUTS), r"expected a batch \(samples, 24\), got \(24,\)"),
        (torch.zeros(2, INPUTS).double(), r"expected float32 on the CPU, got torch.float64 on cpu"),
        (torch.zeros(2, INPUTS, device="meta"), r"got torch.float32 on meta"),
        ([0.0], r"expected samples as a tensor, got a list"),
    ],
)
def test_samples_that_it_does_not_take_are_refused(x, text, made):
    with pytest.raises(ValueError, match=text):
        made("mlp", "onnx_static")[1](x)


@needs_the_extra
def test_it_stays_in_evaluation_inside_a_net_that_trains(made):
    quantized = made("mlp", "onnx_static")[1]
    assert not nn.Sequential(quantized).train()[0].training
    assert f"onnx_static, {quantized.bytes:,} bytes; 1 sparse layer as dense" in repr(quantized)


@needs_the_extra
def test_threads_are_those_of_torch(made):
    quantized, x = made("mlp", "onnx_static")[1], samples(mlp())
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            quantized(x)
            assert quantized._session.get_session_options().intra_op_num_threads == threads
    finally:
        torch.set_num_threads(before)


@needs_the_extra
def test_learning_brings_back_what_rounding_took():
    """A net whose first range is ruled by one odd sample loses digits, and learns to do without."""
    net = mlp()
    x, y = calibration(net)
    x = torch.cat([x, 40 * x[:1]])
    y = torch.cat([y, y[:1]])

    def loss(quantized):
        return nn.functional.cross_entropy(quantized(x[:-1]), y[:-1]).item()

    learned = compress.quantize(net, (x, y), "qat", epochs=8, lr=0.02, seed=3)
    assert loss(learned) < loss(compress.quantize(net, (x, y), "torchao"))
    again = compress.quantize(net, (x, y), "qat", epochs=8, lr=0.02, seed=3)
    assert again.content == learned.content


@needs_the_extra
@pytest.mark.parametrize(
    ("y", "options", "text"),
    [
        (None, {}, r'how="qat" trains: calibration is \(x, y\)'),
        (torch.full((32,), 9), {}, r"y holds classes from 0 to 4, got torch.int64"),
        (torch.zeros(32), {}, r"y holds classes from 0 to 4, got torch.float32"),
        (torch.zeros(32).long(), {"epochs": 0}, r"epochs must be at least 1 and lr above 0"),
    ],
)
def test_what_cannot_be_learned_is_refused(y, options, text):
    x = samples(mlp())
    with pytest.raises(ValueError, match=text):
        compress.quantize(mlp(), x if y is None else (x, y), "qat", **options)


@needs_the_extra
def test_a_loss_that_is_not_finite_is_said():
    net = nn.Sequential(nn.Linear(INPUTS, 5)).eval()
    x = 1e38 * samples(mlp())
    with pytest.raises(ValueError, match=r"the loss became (nan|inf): take a smaller lr"):
        compress.quantize(net, (x, torch.zeros(32).long()), "qat")


@needs_the_extra
def test_a_graph_without_int8_kernels_is_refused(made):
    from compress.int8 import pt2e

    program = torch.export.export(nn.ReLU(), (torch.zeros(2, 3),))
    with pytest.raises(ValueError, match=r'no layer became .*: take how="onnx_static"'):
        pt2e.lowered(program.module(), torch.zeros(2, 3))


@needs_the_extra
def test_a_net_that_chooses_its_way_by_its_input_is_refused_in_a_line(capfd):
    class Choosing(nn.Linear):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    for how in ("onnx_static", "torchao"):
        said = r"torch\.(onnx cannot export|export cannot follow) .*an `if` .*torch\.where, or"
        with pytest.raises(ValueError, match=said) as told:
            compress.quantize(Choosing(INPUTS, 5).eval(), torch.randn(99, INPUTS), how)
        assert "\n" not in str(told.value)
        assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [("\x1b[96mNo graph\x1b[0m.\nSee", "No graph."), ("", "ValueError"), ("\n ", "ValueError")],
)
def test_the_cause_of_an_export_that_failed_is_a_line_without_colours(text, said):
    error = RuntimeError("outer")
    error.__cause__ = ValueError(text)
    assert extras.cause(error) == said


@needs_the_extra
def test_batch_norms_before_layers_are_spread():
    net = nn.Sequential(nn.BatchNorm2d(3), conv()).eval()
    x = samples(conv())
    quantized = compress.quantize(net, x, "torchao")
    assert "batch_norm" not in str(quantized.reference.graph)
    with torch.no_grad():
        right = net(x)
    assert (quantized(x) - right).abs().max() < 20 * STEP * (right.max() - right.min())


@needs_export
def test_a_norm_without_weights_is_spread():
    net = nn.Sequential(nn.BatchNorm1d(4, affine=False)).eval()
    x = torch.randn(6, 4)
    graph = torch.export.export(net, (x,)).module()
    assert norms.spread(graph) == 1
    torch.testing.assert_close(graph(x), net(x))


@needs_the_extra
def test_weights_take_7_bits_where_8_may_overflow(monkeypatch):
    import onnx
    from onnx import numpy_helper

    net = mlp()
    monkeypatch.setattr(onnx_static, "overflows", lambda: True)
    narrow = compress.quantize(net, samples(net))
    assert narrow.facts.bits == 7
    held = onnx.load_from_string(narrow.content).graph.initializer
    weights = [numpy_helper.to_array(v) for v in held if v.name.endswith("weight_quantized")]
    assert len(weights) == 3
    assert max(abs(w.astype(int)).max() for w in weights) <= 64


@needs_the_extra
def test_a_file_of_8_bits_is_warned_of_where_they_overflow(made, monkeypatch):
    monkeypatch.setattr(extras, "overflows", lambda: True)
    assert quantize.opened(made("mlp", "onnx_static")[1].content).notes[-1] == quantize.OVERFLOW


@needs_the_extra
def test_few_shapes_are_kept(made, monkeypatch):
    from compress.int8 import pt2e

    monkeypatch.setattr(pt2e, "KEPT", 2)
    monkeypatch.setattr(pt2e, "lowered", lambda reference, x: reference)
    quantized = copy.deepcopy(made("mlp", "torchao")[1])
    x = torch.randn(8, INPUTS)
    for n in (1, 2, 3):
        quantized(x[:n])
    assert [shape[0] for shape in quantized._lowered] == [2, 3]


@needs_the_extra
def test_pictures_of_another_size_are_refused(made):
    with pytest.raises(ValueError, match=r"expected a batch \(samples, 3, 8, 8\)"):
        made("conv", "onnx_static")[1](torch.zeros(2, 3, SIDE + 1, SIDE))
