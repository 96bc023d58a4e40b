"""A masked net as sparse layers, and a net with fewer channels."""

import builtins
import copy
import io
import sys

import pytest
import torch
from torch import nn

import bibd
import compress
from tests.compress.pruning.nets import conv, mlp, samples


def size(net):
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    return file.tell()


def wide():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 300), nn.ReLU(), nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3)
    ).double()


def test_a_frozen_net_is_the_same_function_in_a_tenth_of_the_bytes():
    net = wide()
    masks = compress.prune(net, 0.05)
    sparse = copy.deepcopy(net)
    report = compress.freeze(sparse, masks)
    assert [type(m) for m in sparse if not isinstance(m, nn.ReLU)] == [bibd.SparseLinear] * 3
    compress.Masked(net, masks)
    for layer in sparse[::2]:
        layer.backend = "bag"  # (what multiplies no zero, and is not compiled first)
    x = torch.randn(20, 12, dtype=torch.float64)
    assert torch.allclose(sparse(x), net(x), rtol=0, atol=1e-13)
    assert report.report.after == masks.kept
    assert not report.masks
    assert size(sparse) < 0.12 * size(net)
    assert "all" in str(report)
    assert "still held" not in str(report)


def test_zeros_inside_kernels_are_named_and_stay_zero_in_training():
    net = conv()
    masks = compress.prune(net, 0.2, "random", seed=4)
    report = compress.freeze(net, masks)
    assert isinstance(net[3], bibd.SparseConv2d)
    assert net[3].groups == 2
    held = sum(p.numel() for n, p in net.named_parameters() if n in masks)
    kept = sum(masks.counts.values())
    assert report.masks.of - report.masks.kept == held - kept > 0
    assert f"{held - kept:,} zeros are still held (0, 3)" in str(report)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    compress.Masked(net, report.masks, optimizer)
    x, y = samples(net)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert sum(int((net.get_parameter(n) != 0).sum()) for n in masks) == kept


def test_a_layer_that_cannot_be_swapped_stays_masked_and_says_why():
    net = mlp()
    net[2].register_forward_hook(lambda *_: None)
    masks = compress.prune(net, 0.3)
    report = compress.freeze(net, masks)
    assert type(net[2]) is nn.Linear
    assert int((net[2].weight != 0).sum()) == masks.counts["2.weight"]
    assert "stays: it has hooks" in str(report)
    assert list(report.masks) == ["2.weight"]


def test_a_net_that_is_a_layer_is_refused():
    layer = nn.Linear(4, 4)
    with pytest.raises(ValueError, match=r"the model is a single Linear"):
        compress.freeze(layer, compress.prune(layer, 0.5))


def test_channels_go_and_our_cost_sees_it():
    pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")
    net = conv().float()
    x, _ = samples(net)
    found = compress.prune_channels(net, 0.5, x)
    assert found.after.macs < 0.5 * found.before.macs
    assert net(x).shape == (20, 3)
    assert str(found).startswith("before: 504 weights") or "MACs" in str(found)
    with pytest.raises(ValueError, match=r"no channel went"):
        compress.prune_channels(nn.Sequential(nn.Linear(12, 3)), 0.5, torch.ones(2, 12))


def test_without_the_library_the_line_to_type_is_said(monkeypatch):
    right = builtins.__import__

    def blocked(name, *rest, **more):
        if name == "torch_pruning":
            raise ImportError("No module named 'torch_pruning'")
        return right(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "torch_pruning", raising=False)
    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ImportError, match=r'pip install "iddl\[structured\]"'):
        compress.prune_channels(mlp(), 0.5, torch.ones(2, 12))
    with pytest.raises(ValueError, match=r"for 50 percent say 0.5"):
        compress.prune_channels(mlp(), 50, torch.ones(2, 12))
