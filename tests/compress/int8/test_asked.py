"""What cannot be made int8 is refused in words, before a library is asked for."""

import builtins
import sys

import pytest
import torch
from torch import nn

import bibd.onnx.extras
import compress
from bibd.onnx.dense import densify
from compress.identities.int8 import INPUTS, conv, mlp, samples
from compress.int8 import extras
from compress.int8.asked import ask, gathered
from compress.int8.plain import Plain

X = torch.randn(80, INPUTS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("calibration", "text"),
    [
        ([], "no samples to take ranges from: calibration is a batch as the net takes it"),
        (X[:0], "the batch is empty"),
        ({"x": X}, "got a dict"),
        (None, "got a NoneType"),
        ([X, "x"], "got a str among them"),
        (X.where(X < 1, torch.nan), "samples hold NaN or infinities"),
        (X.double(), r"samples are torch.float64: give them as the net was trained"),
        (X.long(), r"samples are torch.int64"),
        (X[0], r"samples of shape \(24,\) have no batch axis: x\[None\]"),
        ([X, X[:, :5]], r"samples differ in shape: \(80, 24\) and \(80, 5\)"),
        (X.to("meta"), "samples are on meta"),
        (X[:, :5], r"Sequential does not take samples of shape \(80, 5\): .*"),
        ((X, torch.zeros(3)), r"80 samples need as many classes, got y of \(3,\)"),
    ],
)
def test_samples_that_show_no_range_are_refused(calibration, text):
    with pytest.raises(ValueError, match=text):
        compress.quantize(mlp(), calibration)


@pytest.mark.parametrize(
    ("net", "text"),
    [
        ("net", "quantize takes a net, got a str"),
        (nn.ReLU, r"got a type: this is a class, call it: ReLU\(\)"),
        (mlp().train(), r"Sequential is in training, .*: call net.eval\(\) first"),
        (mlp().half(), r"0.weight is torch.float16: int8 is made from float32, net.float\(\)"),
        (mlp().to("meta"), r"0.weight is on meta: .*net.cpu\(\)"),
        (nn.ReLU().eval(), "ReLU has no weights"),
        (nn.Sequential(nn.Linear(24, 6), nn.Unflatten(1, (2, 3))).eval(), r"answers \(2, 2, 3\)"),
    ],
)
def test_nets_that_cannot_be_int8_are_refused(net, text):
    with pytest.raises(ValueError, match=text):
        compress.quantize(net, X)


def test_weights_that_are_no_numbers_are_refused():
    net = mlp()
    with torch.no_grad():
        net[0].weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"0.weight has values that are NaN or infinite"):
        compress.quantize(net, X)


def test_an_unknown_way_is_answered_by_the_nearest():
    with pytest.raises(ValueError, match=r"unknown how 'onnx': did you mean 'onnx_static'\?"):
        compress.quantize(mlp(), X, "onnx")
    with pytest.raises(ValueError, match=r'epochs: only how="qat" trains'):
        compress.quantize(mlp(), X, epochs=2)
    with pytest.raises(ValueError, match=r"unknown option of qat 'epoch': did you mean 'epochs'"):
        compress.quantize(mlp(), X, "qat", epoch=2)


@pytest.mark.parametrize("how", ["onnx_static", "torchao"])
def test_without_the_libraries_the_line_to_type_is_said(how, monkeypatch):
    right = builtins.__import__
    gone = ("onnx", "onnxscript", "onnxruntime", "torchao")

    def blocked(name, *rest, **more):
        if name.split(".")[0] in gone:
            raise ImportError(f"No module named {name!r}")
        return right(name, *rest, **more)

    for name in [name for name in sys.modules if name.split(".")[0] in gone]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", blocked)
    monkeypatch.setattr(bibd.onnx.extras, "import_module", lambda name: blocked(name))
    monkeypatch.setattr(bibd.onnx.extras, "too_old", lambda: False)
    with pytest.raises(ImportError, match=r'pip install "iddl\[int8\]"'):
        compress.quantize(mlp(), X, how)
    assert "No module named 'onnx'" in extras.missing()


def test_an_older_torch_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(ImportError, match=r"int8 needs torch 2.11 or newer, this is 2.6.0"):
        compress.quantize(mlp(), X)


def test_samples_come_in_every_usual_form():
    y = torch.arange(80) % 5
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), 32)
    for calibration in (X, (X, y), [X[:30], X[30:]], [(X[:30], y[:30]), (X[30:], y[30:])], loader):
        x, _ = gathered(calibration)
        assert torch.equal(x, X)
    assert torch.equal(gathered(loader)[1], y)
    assert gathered(X)[1] is None


def test_few_samples_sparse_layers_and_exits_are_said():
    asked = ask(conv(early=True), samples(conv()))
    assert asked.classes == (5, 5)
    assert asked.notes == (
        "1 sparse layer as dense: int8 multiplies their zeros, too",
        "all exits are computed, no sample leaves early",
        "ranges come from 32 samples only: take some hundreds",
    )
    assert ask(nn.Sequential(nn.Linear(24, 5)).eval(), X).notes == ()


def test_the_net_itself_keeps_its_sparse_layers():
    net = mlp()
    before = [type(m) for m in net]
    Plain(net)
    assert [type(m) for m in net] == before


def test_a_layer_that_is_called_twice_stays_one():
    net = nn.Module()
    net.a = net.b = mlp()[2]
    assert len(densify(net)) == 1
    assert net.a is net.b
    assert isinstance(net.a, nn.Linear)
