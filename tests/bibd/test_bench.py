"""The benchmark: what it races computes the same thing, and what is published is what it said."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import pages
from benchmarks.sparse import cases, plot
from benchmarks.sparse.goals import GOALS, judge
from benchmarks.sparse.residual import dense, net
from benchmarks.sparse.rounds import race, together
from bibd import SparseConv2d, SparseLinear, bench, make_pattern
from bibd.kernels import build
from tests.tree import ROOT

RECORD = json.loads((ROOT / "benchmarks" / "sparse_speed.json").read_text())


def test_a_race_times_every_side_in_turn():
    calls = []
    sides = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    times = race(sides, rounds=3, seconds=0)
    assert calls == ["a", "a", "b", "b"] * 3  # one call that does not count, one that does
    assert {side: len(t) for side, t in times.items()} == {"a": 3, "b": 3}
    assert together([{"a": [1, 5], "b": [2]}, {"a": [3], "b": [8]}]) == {"a": 3, "b": 5}


def test_goals_are_judged_as_they_say():
    times = {"ours": 10.0, "oneDNN": 100.0, "F.linear": 200.0, "torch CSR": 12.0, "scipy CSR": 30.0}
    one, two, three = judge("linear", 32.0, times)
    assert (one["ratio"], one["least"], one["aim"], one["reached"]) == (10, 6.4, 10.67, "least")
    assert (two["ratio"], two["least"], two["reached"]) == (20, 12.8, "aim")
    assert (three["side"], three["ratio"], three["reached"]) == ("torch CSR", 1.2, "no")
    times["F.linear"] = 110.0  # as fast as oneDNN: its row would ask for the same thing twice
    assert [g["against"] for g in judge("linear", 32.0, times)] == ["oneDNN", "best peer"]


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("batch", [1, 5])
def test_sparse_sides_of_a_linear_race_agree(batch, monkeypatch):
    """They hold one weight and one input, so their results are one."""
    made = {}
    monkeypatch.setattr(cases, "SparseLinear", lambda *a: made.setdefault("ours", SparseLinear(*a)))
    _, sides = cases.linear(64, batch)
    want = sides["ours"]().detach()
    for name in ("embedding_bag", "torch CSR", "scipy CSR"):
        got = torch.as_tensor(sides[name]()).reshape(want.shape).detach()
        torch.testing.assert_close(got, want)
    assert sides["F.linear"]().shape == sides["grouped"]().shape == want.shape


@pytest.mark.filterwarnings("ignore:Sparse")
def test_training_sides_return_all_gradients():
    _, sides = cases.linear_training(64, 8)
    ours = sides["ours"]()
    for name, other in ((n, s()) for n, s in sides.items() if n != "ours"):
        if name == "oneDNN":
            other = other[1:]
        assert other[0].shape == ours[0].shape, name
        assert other[2].shape == ours[2].shape, name
    bag, csr = sides["embedding_bag"](), sides["torch CSR"]()
    for a, b, c in zip(ours, bag, csr, strict=True):
        torch.testing.assert_close(a, b)
        if c.layout is torch.sparse_csr:
            c = c.values()
        elif c.shape != a.shape:  # a dense gradient of the whole weight
            c = c.flatten()[torch.from_numpy(make_pattern("bibd", 64, 64).flat)]
        torch.testing.assert_close(a, c)


def test_conv_sides_have_one_shape():
    for make in (cases.conv, cases.conv_training):
        q, sides = make(16, 8, 4)
        assert q == 4
        for found in (side() for side in sides.values()):
            first = found if torch.is_tensor(found) else found[0]
            assert first.shape == (4, 16, 8, 8)


@pytest.mark.skipif(build.compiler() is None, reason="no compiler")
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("batch", [2, 17])
def test_the_residual_net_is_its_masked_dense_twin(norm, batch):
    """Outputs, gradients and running statistics of the whole net, in float64."""
    torch.manual_seed(0)
    sparse, twin = net(cases.sparse, norm).double(), net(dense, norm).double()
    for a, b in zip(sparse.modules(), twin.modules(), strict=True):
        if isinstance(a, SparseConv2d):
            a.backend = "native"
            b.weight.data = a.to_dense().detach()
            b.bias = None if a.bias is None else nn.Parameter(a.bias.detach())
        elif isinstance(a, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            b.load_state_dict(a.state_dict())
    x, y = torch.randn(batch, 3, 32, 32, dtype=torch.float64), torch.arange(batch) % 10
    got, want = sparse(x), twin(x)
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    F.cross_entropy(got, y).backward()
    F.cross_entropy(want, y).backward()
    for a, b in zip(sparse.modules(), twin.modules(), strict=True):
        if isinstance(a, SparseConv2d):
            picked = b.weight.grad.reshape(-1, 3, 3)[a.flat]
            torch.testing.assert_close(a.weight.grad, picked, rtol=1e-7, atol=1e-8)
        elif isinstance(a, nn.BatchNorm2d):
            torch.testing.assert_close(a.running_var, b.running_var)
            torch.testing.assert_close(a.weight.grad, b.weight.grad, rtol=1e-7, atol=1e-8)


@pytest.mark.slow
def test_the_verb_prints_one_document(tmp_path):
    out = tmp_path / "times.json"
    words = ["bench", "--quick", "--only", "linear 1024, batch 1", "--passes", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "bibd", *words, "--out", str(out)],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text())
    assert found["cases"][0]["name"] == "linear 1024, batch 1"
    assert {"isa", "build_seconds", "peak_mib", "allocator", "provenance"} <= set(found)


@pytest.mark.parametrize("beside", [[], ["benchmarks/sparse/__main__.py"]])
def test_outside_a_checkout_the_verb_says_where_it_lives(beside, tmp_path, monkeypatch):
    """Nor is a stranger's folder of that name, beside an installed package, run by mistake."""
    for name in beside:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("raise SystemExit(9)")
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    with pytest.raises(ValueError, match="clone the repository and type `make bench`"):
        bench.main([])


def test_the_verb_hands_its_words_and_the_exit_status_on(tmp_path, monkeypatch, capfd):
    (tmp_path / "pyproject.toml").touch()
    program = tmp_path / "benchmarks/sparse/__main__.py"
    program.parent.mkdir(parents=True)
    for folder in program.parents[:2]:
        (folder / "__init__.py").touch()
    program.write_text("import sys; print(sys.argv[1:]); raise SystemExit(7)")
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    assert bench.main(["--only", "conv"]) == 7
    assert capfd.readouterr().out == "['--only', 'conv']\n"


def test_the_record_is_whole():
    cases_there = {row["case"] for row in RECORD["cases"] if "case" in row}
    assert cases_there == set(GOALS)
    assert {row.get("threads") for row in RECORD["cases"] if "case" in row} == {1, 2}
    for row in RECORD["cases"]:
        if "case" in row:
            assert row["goals"] == judge(row["case"], row["q"], row["us"])


def test_the_figure_is_of_the_record():
    _, data = plot.picture(RECORD)
    kept = json.loads((ROOT / "figure" / "bibd" / "speed" / "speedup.json").read_text())
    assert kept == json.loads(json.dumps(data))


def test_the_figure_names_machine_layers_and_signs():
    fig, _ = plot.picture(RECORD)
    assert RECORD["provenance"]["cpu"] in fig.get_suptitle()
    labels = [[text.get_text() for text in ax.get_xticklabels()] for ax in fig.axes]
    assert labels[0] == ["29\n784", "32\n1024", "64\n4096"]
    assert labels[1][:2] == ["8\n64@32", "10.6\nnet"]
    (legend,) = fig.legends
    assert "hollow: with backward pass" in [text.get_text() for text in legend.get_texts()]


def test_the_best_dense_layer_is_the_fastest_of_all_dense_ways(monkeypatch):
    us = {"ours": 10.0, "oneDNN": 50.0, "F.linear": 30.0, "torch CSR": 12.0}
    record = {"cases": [{"name": "linear 784, batch 1", "us": us}]}
    monkeypatch.setattr(pages, "record", lambda name: record)
    assert pages.over_dense("linear") == "3.0 to 3.0"
