"""One file of every kind of net that the plans of mlp and resnet train, beside the net itself."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import bibd
from bibd.onnx.extras import session
from mlp.experiments import PLANS as MLPS
from mlp.model import build
from resnet import trainer
from resnet.experiments import PLANS as RESNETS
from tests.bibd.onnx.needs import needs_the_extra

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # (of the exporter's parts)
CLOSE = 1e-5


def kinds(plans, *facts):
    """The first arm of each combination of these facts."""
    first = {}
    for plan in plans.values():
        for arm, config in plan.arms.items():
            first.setdefault(tuple(getattr(config, fact) for fact in facts), (arm, config))
    return [
        pytest.param(config, id=arm, marks=[pytest.mark.slow] * (getattr(config, "depth", 0) > 10))
        for arm, config in first.values()
    ]


@torch.no_grad()
def held(net, x, path, exits=""):
    """The logits of each exit in the file are those of the net, and the class is the same.

    How far rounding carries depends on the net: as far as it carries the net itself from its twin
    in float64, which another order of sums may do again, and in its worst place some times more.
    """
    bibd.to_onnx(net, x[:2], path, exits)
    runner, exact = session(path.read_bytes()), copy.deepcopy(net).double()
    for part in x.split(250):
        told, true = (
            [y.numpy() for y in (model.forward_exits(rows) if exits else [model(rows)])]
            for model, rows in ((net, part), (exact, part.double()))
        )
        found = runner.run(None, {"x": part.numpy()})
        assert len(found) == len(told)
        for a, b, c in zip(found, told, true, strict=True):
            bound = max(CLOSE, 4 * abs(b - c).max())
            assert bound < 1e-4 * max(1, abs(c).max())
            assert abs(a - b).max() <= bound
            high, second = np.sort(c)[:, :-3:-1].T
            clear = high - second > 2 * bound
            assert clear.mean() > 0.99
            assert np.array_equal(a.argmax(1)[clear], b.argmax(1)[clear])


@needs_the_extra
@pytest.mark.parametrize("config", kinds(MLPS, "pattern"))
def test_files_of_mlps(config, tmp_path):
    inputs = (28 + 2 * config.pad) ** 2
    net = build(config, inputs, 10, seed=0).eval()
    held(net, torch.rand(1000, inputs, generator=torch.Generator().manual_seed(1)), tmp_path / "a")


@needs_the_extra
@pytest.mark.parametrize(
    "config", kinds(RESNETS, "depth", "pattern", "groups", "exits", "preact", "head")
)
def test_files_of_resnets(config, tmp_path):
    """A quarter of the channels, which changes no layer's kind; batch norm has seen samples."""
    small = replace(config, width=max(16, 2 * config.groups))
    net = trainer.build(small, SimpleNamespace(shape=(3, 32, 32), classes=10), seed=0)
    x = torch.randn(250, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # (the first batch is all that it has seen)
    with torch.no_grad():
        net.train().forward_exits(x[:64])
    held(net.eval(), x, tmp_path / "a", "all" if config.exits else "")
