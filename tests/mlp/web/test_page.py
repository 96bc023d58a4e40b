"""The page as a file: what is in it, and that it is the net."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mlp
from bibd import SparseLinear
from bibd.kernels.build import library as kernels
from harness.data import Data
from harness.record import store, weights
from harness.record.study import Study
from harness.stack import stack
from mlp import trainer
from mlp.experiments import PLANS
from mlp.model import build
from mlp.web.page import Options, main
from tests.mlp.web.net import page, trained

LIMITS = {False: 450_000, True: 150_000}
SAID = "the page is {} kB in float32 and {} kB in int8"  # in mlp/README.md


def held(path):
    """The object with the weights that a page holds."""
    (text,) = re.findall(
        r'<script type="application/json" id="net">(.*)</script>', path.read_text()
    )
    return json.loads(text)


def dense(layer):
    """A packed layer as a full matrix, value by value."""
    raw = {k: base64.b64decode(v) for k, v in layer.items() if isinstance(v, str)}
    full = np.zeros((layer["outputs"], layer["inputs"]), np.float32)
    counts = (
        np.frombuffer(raw["counts"], "<u2") if "counts" in raw else [layer["inputs"]] * len(full)
    )
    columns = np.frombuffer(raw["columns"], "<u2") if "columns" in raw else None
    values = np.frombuffer(raw["values"], "i1" if "scales" in raw else "<f4")
    k = 0
    for o, count in enumerate(counts):
        scale = np.frombuffer(raw["scales"], "<f4")[o] if "scales" in raw else np.float32(1)
        for i in range(count):
            full[o, i if columns is None else columns[k]] = np.float32(values[k]) * scale
            k += 1
    assert k == len(values)
    return full, np.frombuffer(raw["bias"], "<f4")


@pytest.mark.parametrize("int8", [False, True])
def test_a_page_is_one_small_file_that_asks_nobody(tmp_path, int8):
    path, _ = page(tmp_path, int8)
    text = path.read_text()
    assert len(text.encode()) < LIMITS[int8]
    assert "://" not in text
    assert not re.findall(
        r"{{|<link[^>]*href=\"(?!data:)|src=|@import|url\(|fetch\(|import\(", text
    )
    assert "default-src 'none'" in text
    assert "96.20%" in text
    assert ("int8" if int8 else "float32") in text


def test_a_page_is_as_large_as_the_readme_says(tmp_path):
    sizes = [round(page(tmp_path, int8)[0].stat().st_size / 1000) for int8 in (False, True)]
    readme = (Path(mlp.__file__).parent / "README.md").read_text()
    assert SAID.format(*sizes) in " ".join(readme.split())


@pytest.mark.parametrize("int8", [False, True])
@torch.no_grad()
def test_a_page_holds_the_net(tmp_path, int8):
    path, net = page(tmp_path, int8)
    said = held(path)
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | SparseLinear)]
    packed = [*said["stages"], said["heads"][0]]
    assert said["heads"][1:] == [None, None]
    assert said["threshold"] == 0.64
    assert said["macs"] == net.costs()[-1].macs
    for layer, part in zip(layers, packed, strict=True):
        weight = layer.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        full, bias = dense(part)
        assert np.array_equal(full, weight.numpy())
        assert np.array_equal(bias, layer.bias.numpy())


@torch.no_grad()
def test_int8_is_the_nearest_multiple(tmp_path):
    _, rounded = page(tmp_path, int8=True)
    for (name, was), now in zip(trained().named_parameters(), rounded.parameters(), strict=True):
        if name.endswith("bias"):
            assert torch.equal(was, now)
            continue
        rows = was.abs().max() if was.ndim == 1 else was.abs().amax(1, keepdim=True)
        # Half a step, and two roundings of float32 of a value of up to 127 steps.
        assert ((was - now).abs() <= rows / 254 * (1 + 2**-14)).all()
        assert not torch.equal(was, now)


def test_the_costs_of_dense_layers_are_told(tmp_path):
    path, _ = page(tmp_path)
    assert held(path)["dense"] == 1024 * 256 + 256 * 272 + 272 * 10 + 256 * 10


@pytest.fixture
def small(monkeypatch):
    """MNIST's place is taken by 6,500 pictures of noise with a bright row for each class."""
    y = torch.arange(6500) % 10
    x = torch.rand(6500, 28, 28, generator=torch.Generator().manual_seed(0)) / 2
    x[torch.arange(6500), 4 + 2 * y] = 1
    data = Data.from_tensors(x[500:], y[500:], test=(x[:500], y[:500]), name="mnist")
    monkeypatch.setattr(trainer, "load", lambda *_: data)


def test_without_weights_the_net_is_trained_as_the_study_does(small, tmp_path, capsys):
    out = tmp_path / "digit.html"
    words = ["--arm", "bibd-8-mnist", "--out", str(out), "--results", str(tmp_path / "none")]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "no weights in" in said.err
    assert "bibd-8-mnist is trained here" in said.err
    assert re.fullmatch(
        rf"{re.escape(str(out))}: [\d,]+ bytes, [\d.]+% of the test images right in float32\n",
        said.out,
    )
    *_, last = trainer.train(PLANS["density"].arms["bibd-8-mnist"], 0)
    (row,) = re.findall(r'<tr><th scope="row">exit 2</th>.*?</tr>', out.read_text())
    assert f"<td>{last['test_accuracy']:.2%}</td>" in row


def test_the_weights_of_a_run_are_taken(small, tmp_path, capsys):
    study = Study("mlp", "density", PLANS["density"], tmp_path)
    folder = study.seed_dir("bibd-8-mnist", 3)
    net = build(PLANS["density"].arms["bibd-8-mnist"], 1024, 10, 3)
    weights.save(folder, stack([net]))  # as trainings of one seed hold it
    store.save_run(study.new_run("bibd-8-mnist", 3), folder)
    out = tmp_path / "digit.html"
    kernels()  # (whoever is the first to need them says that they are being built)
    capsys.readouterr()
    words = ["--arm", "bibd-8-mnist", "--seed", "3", "--results", str(tmp_path)]
    assert main([*words, "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    for stage, part in zip(net.stages, held(out)["stages"], strict=True):
        layer = stage[0] if isinstance(stage, nn.Sequential) else stage
        weight = layer.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        assert np.array_equal(dense(part)[0], weight.detach().numpy())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (dict(arm="bibd-16-fashion"), "a page of digits is for arms on mnist with two"),
        (dict(arm="bibd-61-mnist"), r"did you mean 'bibd-16-mnist'"),
        (dict(plan="densty"), "did you mean 'density'"),
        (dict(seed=-1), "--seed is a whole number from 0 on, got -1"),
        (dict(out=Path(__file__).parent), "is a folder: name a file in it, such as digit.html"),
    ],
)
def test_nets_that_do_not_fit_are_answered(words, text):
    with pytest.raises(ValueError, match=text):
        Options(**words)
