"""Files in ONNX, run by onnxruntime, against the nets that they were made of."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bibd
from bibd import SparseLinear, export
from bibd.__main__ import main
from bibd.onnx import extras
from bibd.onnx.extras import session
from harness.exits import attach
from mlp.model import build
from mlp.plans.config import Config
from resnet.model import resnet
from tests.bibd.onnx.needs import needs_the_extra

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # (of the exporter's parts)
CLOSE = dict(rtol=0, atol=1e-5)  # logits near 1: some thousand roundings of 6e-8 along a path


def run(path, x, **options):
    """All outputs of a file by name, for these samples."""
    runner = session(path.read_bytes())
    names = [output.name for output in runner.get_outputs()]
    return dict(zip(names, runner.run(None, {"x": x.numpy()}), strict=True))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The MLP of the size that the pages tell of, and its file."""
    net = build(Config(hidden=(812, 812), pattern="bibd"), 784, 10, seed=0).eval()
    path = tmp_path_factory.mktemp("wide") / "mlp.onnx"
    return net, path, bibd.to_onnx(net, torch.zeros(1, 784), path)


@pytest.fixture(scope="module")
def exits():
    """A small ResNet with two early exits, thresholds that divide, and samples."""
    net = resnet(10, "bibd", exits=(1, 2), width=4, head="pool", seed=1).eval()
    x = torch.randn(1000, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = [net.score(logits).sort().values for logits in net.forward_exits(x)[:-1]]
        bounds = [float(scores[0][599:601].mean()), float(scores[1][499:501].mean())]
        return net, x, bounds, net.early(x, bounds), net.forward_exits(x)


@needs_the_extra
@torch.no_grad()
def test_a_file_answers_as_the_net(wide):
    net, path, _ = wide
    x = torch.rand(1000, 784, generator=torch.Generator().manual_seed(1))
    found = run(path, x)
    assert list(found) == ["y"]
    torch.testing.assert_close(torch.from_numpy(found["y"]), net(x), **CLOSE)
    assert np.array_equal(found["y"].argmax(1), net(x).argmax(1).numpy())


@needs_the_extra
def test_a_file_of_planes_holds_values_and_no_indices(wide):
    net, path, report = wide
    values = 4 * sum(p.numel() for p in net.parameters())
    assert path.stat().st_size == report.bytes <= 1.1 * values + 20_000
    assert [line.how for line in report.layers] == ["plane", "plane"]
    assert report.values == 4 * sum(net.stages[i][0].weight.numel() for i in (0, 1))
    assert report.values + report.places + report.rest == report.bytes
    assert (
        report.dense - report.bytes
        == sum(
            4 * m.in_features * m.out_features - 4 * m.weight.numel()
            for m in net.modules()
            if isinstance(m, SparseLinear)
        )
        - report.places
    )
    assert f"{path}: {report.bytes:,} bytes; ONNX, opset {report.opset}" in str(report)


@needs_the_extra
def test_the_bytes_on_the_page_are_those_of_the_file(wide, tmp_path):
    """Values and places to the byte; names and nodes are the exporter's, and a few thousand."""
    net, _, report = wide
    random = build(Config(hidden=(812, 812), pattern="random"), 784, 10, seed=0).eval()
    other = bibd.to_onnx(random, torch.zeros(1, 784), tmp_path / "random.onnx")
    values = [4 * sum(p.numel() for p in x.parameters()) for x in (net, random)]
    page = " ".join((Path(bibd.__file__).parent / "README.md").read_text().split())
    said = re.findall(
        r"is ([\d,]+) bytes with pattern `bibd` \(its values alone ([\d,]+)\), ([\d,]+) with "
        r"`random`, and ([\d,]+) with dense layers",
        page,
    )
    bytes_, alone, of_random, dense = (int(n.replace(",", "")) for n in said[0])
    assert alone == values[0]
    nodes = bytes_ - values[0] - report.places
    assert 0 < nodes < 4000
    assert dense - bytes_ == report.dense - report.bytes
    assert abs(report.bytes - bytes_) < nodes  # (another torch names its nodes otherwise)
    assert abs(other.bytes - of_random) < nodes
    assert of_random > values[1] + other.places


@needs_the_extra
def test_only_standard_operators_that_are_gone_once_it_is_loaded(wide, tmp_path):
    """What runs is the dense product: smaller on the disk, not faster."""
    import onnx
    import onnxruntime

    _, path, _ = wide
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert {o.domain for o in model.opset_import} == {""}
    assert not model.functions
    assert any(node.op_type == "ScatterND" for node in model.graph.node)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    loaded = onnx.load(tmp_path / "loaded.onnx").graph
    kinds = [node.op_type for node in loaded.node]
    assert not {"ScatterND", "CumSum", "Compress", "TopK", "Range"} & set(kinds)
    assert sum(kind in ("Gemm", "FusedGemm", "MatMul") for kind in kinds) == 3
    full = sorted(tuple(x.dims) for x in loaded.initializer if len(x.dims) == 2)
    assert [sorted(dims) for dims in full] == [[10, 812], [784, 812], [812, 812]]


@needs_the_extra
@torch.no_grad()
def test_all_exits_answer(exits, tmp_path):
    net, x, _, _, logits = exits
    report = bibd.to_onnx(net, x[:3], tmp_path / "all.onnx", exits="all")
    found = run(tmp_path / "all.onnx", x)
    assert list(found) == ["logits.0", "logits.1", "logits.2"]
    for mine, theirs in zip(found.values(), logits, strict=True):
        torch.testing.assert_close(torch.from_numpy(mine), theirs, **CLOSE)
        assert np.array_equal(mine.argmax(1), theirs.argmax(1).numpy())
    assert {line.how for line in report.layers} <= {"plane", "differences"}


@needs_the_extra
@torch.no_grad()
def test_a_sure_sample_really_leaves(exits, tmp_path):
    """Exit and logits are those of early(), and what lies behind the exit was never run."""
    import onnxruntime

    net, x, bounds, want, _ = exits
    path = tmp_path / "if.onnx"
    bibd.to_onnx(net, x[:3], path, exits="if", thresholds=bounds)
    runner = session(path.read_bytes())
    found = [runner.run(["logits", "exit", "score"], {"x": one[None].numpy()}) for one in x]
    parts = zip(*found, strict=True)
    logits, left, score = (torch.from_numpy(np.concatenate(part)) for part in parts)
    assert torch.equal(left, want.exit)
    assert all(100 < count < 700 for count in left.bincount())
    torch.testing.assert_close(logits, want.logits, **CLOSE)
    torch.testing.assert_close(score, want.score, **CLOSE)

    counts = []
    for exit in range(3):
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / f"e{exit}")
        one = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        one.run(None, {"x": x[left == exit][:1].numpy()})
        events = json.loads(Path(one.end_profiling()).read_text())
        counts.append(sum("Conv" in e["args"].get("op_name", "") for e in events if "args" in e))
    convs = nn.Conv2d, bibd.SparseConv2d
    stages = [sum(isinstance(m, convs) for m in stage.modules()) for stage in net.stages]
    assert counts == [sum(stages[:2]), sum(stages[:3]), sum(stages)]


@needs_the_extra
@torch.no_grad()
def test_a_net_in_parts_is_the_net(tmp_path):
    """What is not sure goes on, as a smaller batch, to the file behind."""
    net = build(Config(hidden=(49, 56), pattern="bibd"), 64, 10, seed=0)
    net = attach(net, (0, 1), (64,), 10, head="linear", criterion="entropy").eval()
    x = torch.randn(1000, 64, generator=torch.Generator().manual_seed(2))
    bounds = [float(net.score(y).sort().values[599:601].mean()) for y in net.forward_exits(x)[:2]]
    want = net.early(x, bounds)
    report = bibd.to_onnx(net, x[:3], tmp_path / "net.onnx", exits="split", thresholds=bounds)
    assert [*report.files] == [str(tmp_path / f"net.{i}.onnx") for i in range(3)]
    rest, on = torch.arange(len(x)), x
    for i in range(3):
        found = {k: torch.from_numpy(v) for k, v in run(tmp_path / f"net.{i}.onnx", on).items()}
        assert list(found) == ["logits", "score", "leaves", "on"][: 4 if i < 2 else 2]
        gone = found["leaves"] if i < 2 else torch.ones(len(on), dtype=torch.bool)
        assert torch.equal(rest[gone], (want.exit == i).nonzero().flatten())
        assert len(rest[gone]) > 100
        torch.testing.assert_close(found["logits"][gone], want.logits[rest[gone]], **CLOSE)
        rest, on = rest[~gone], found["on"][~gone] if i < 2 else on
    assert not len(rest)


@needs_the_extra
@torch.no_grad()
def test_several_inputs_and_outputs_and_a_net_that_is_one_layer(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = self.b = SparseLinear(16, 20)  # one layer under two names

        def forward(self, x, z):
            return self.a(x), self.b(z).relu()

    net, x, z = Two().eval(), torch.randn(5, 16), torch.randn(5, 16)
    report = bibd.to_onnx(net, (x, z), tmp_path / "two.onnx")
    assert [line.name for line in report.layers] == ["net.a.weight"]
    runner = session((tmp_path / "two.onnx").read_bytes())
    found = runner.run(["y0", "y1"], {"x0": x.numpy(), "x1": z.numpy()})
    for mine, theirs in zip(found, net(x, z), strict=True):
        torch.testing.assert_close(torch.from_numpy(mine), theirs, **CLOSE)


@needs_the_extra
@torch.no_grad()
def test_the_command_writes_a_named_net_with_its_weights(tmp_path, capsys):
    layer = SparseLinear(16, 20)
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    path = tmp_path / "net.onnx"
    name = f"{__name__}:small"
    words = ["export", name, "--shape", "16", "--to", str(path), "--json"]
    assert main([*words, "--weights", str(tmp_path / "state.pt")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == {str(path): path.stat().st_size}
    x = torch.randn(7, 16)
    torch.testing.assert_close(torch.from_numpy(run(path, x)["y"]), layer(x), **CLOSE)


def small():
    """A net for the command line."""
    return SparseLinear(16, 20)


def full():
    """A net of torch's, which says of wrong sizes what its product says."""
    return nn.Linear(16, 20)


def test_a_command_that_names_no_net_is_answered(tmp_path, capsys):
    for name, text in {
        "net.onnx": "a net is named as MODULE:NAME, such as torchvision.models:resnet18; got",
        str(tmp_path): "is a folder: python -m mlp export",
        "no_such_module:net": "No module named 'no_such_module'",
        "torch.nn:Linus": "has no attribute 'Linus'",
        "bibd:certify": "bibd:certify wants arguments",
        "os:getcwd": "os:getcwd gives str, expected a net",
        ".nets:build": "a net is named as MODULE:NAME, such as torchvision.models:resnet18; got",
    }.items():
        code = main(["export", name, "--shape", "16", "--to", str(tmp_path / "n.onnx")])
        assert (code, text in capsys.readouterr().err) == (2, True), name


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (["15"], "Linear does not take samples of shape (15,): "),
        (["0"], "sizes of --shape are 1 or more, such as --shape 3 32 32; got (0,)"),
        (["3", "-1"], "sizes of --shape are 1 or more"),
    ],
)
def test_a_shape_that_does_not_fit_is_answered(shape, text, tmp_path, capsys):
    words = ["export", f"{__name__}:full", "--to", str(tmp_path / "n.onnx"), "--shape", *shape]
    code = main(words)
    assert (code, text in capsys.readouterr().err) == (2, True)


@needs_the_extra
def test_a_file_that_cannot_be_written_is_answered(tmp_path, capsys):
    code = main(["export", f"{__name__}:small", "--to", str(tmp_path), "--shape", "16"])
    said = f"could not write {tmp_path}: Is a directory; name another file, such as net.onnx"
    assert (code, said in capsys.readouterr().err) == (1, True)


def test_settings_that_do_not_fit_are_answered(tmp_path):
    net, x = nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 4)
    early = attach(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3)), 0, (4,), 3, head="linear")
    for module, example, how, text in [
        (net, x, dict(exits="some"), "exits must be one of all, if, split, got 'some'"),
        (net, x, dict(exits="if"), "thresholds= are for exits='if' and 'split', which need them"),
        (net, x, dict(thresholds=0.5), "thresholds= are for exits='if' and 'split'"),
        (net, x, dict(exits="all"), r"for a net that has forward_exits\(x\)"),
        (net, x, dict(exits="if", thresholds=0.5), r"that has at_exits\(x\).*Sequential has none"),
        (early, x, dict(exits="if", thresholds=2.0), r"expected a threshold in \[0, 1\]"),
        (net, x[:0], {}, r"example is a batch as the net takes it.*got \(0, 4\)"),
        (net, 3, {}, "got int"),
    ]:
        with pytest.raises(ValueError, match=text):
            bibd.to_onnx(module, example, tmp_path / "net.onnx", **how)
    assert not [*tmp_path.iterdir()]


def test_without_the_extra_the_line_to_type_is_said(monkeypatch, tmp_path, capsys):
    def gone(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", gone)
    monkeypatch.setattr(extras, "too_old", lambda: False)
    with pytest.raises(ImportError, match=r'pip install "iddl\[onnx\]"'):
        bibd.to_onnx(small(), torch.zeros(2, 16), tmp_path / "net.onnx")
    monkeypatch.setattr(export, "found", lambda name: small())
    assert main(["export", "a:b", "--shape", "16", "--to", str(tmp_path / "net.onnx")]) == 2
    assert "ONNX is made by onnxscript, an extra" in capsys.readouterr().err


def test_an_older_torch_is_refused_in_words(monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(ImportError, match=r"ONNX needs torch 2.11 or newer, this is 2.6.0"):
        bibd.to_onnx(small(), torch.zeros(2, 16), tmp_path / "net.onnx")
