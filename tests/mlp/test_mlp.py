"""The study: its models, its numbers, its figures."""

import json
import pickle

import pytest
import torch

from harness import cost
from harness.job import Job
from harness.plan import arm_key
from harness.record import store
from harness.result import plotting
from mlp import plot_mlp_experiments as plot
from mlp import trainer
from mlp.costs import costs
from mlp.experiments import PLANS
from mlp.model import build
from mlp.plans.config import Config
from mlp.plans.twelve import PUBLISHED
from mlp.trainer import describe, train, train_stack

COUNTS = {
    "MLP-3-1": (13064, 46),
    "MLP-3-2": (20650, 65),
    "MLP-3-3": (30156, 88),
    "MLP-3-4": (41720, 115),
    "B-MLP-3-1": (728, 10),
    "B-MLP-3-2": (1150, 10),
    "B-MLP-3-3": (1680, 10),
    "B-MLP-3-4": (2324, 10),
    "R-MLP-3-1": (728, 10),
    "R-MLP-3-2": (1150, 10),
    "R-MLP-3-3": (1680, 10),
    "R-MLP-3-4": (2324, 10),
}


def test_counts_are_those_of_the_original_study():
    found = {
        line["name"]: (line["connections"], line["biases"])
        for line in costs("paper", measured=False)
    }
    assert found == COUNTS
    notebook = {line["name"]: line["connections"] for line in costs("notebook", measured=False)}
    assert notebook == {"MLP": 94640, "B-MLP": 4266, "R-MLP": 4266}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_by_looking_at_the_weights(name):
    """Not what the layers say of themselves: the entries of the dense weights that are not 0."""
    model = build(PLANS["paper"].arms[name], 784, 10, seed=0)
    entries = sum(
        int((m.to_dense() if hasattr(m, "to_dense") else m.weight).count_nonzero())
        for m in model.modules()
        if hasattr(m, "weight")
    )
    assert entries == COUNTS[name][0]
    assert cost.total(model, (784,)).flops("iddl") == entries
    assert cost.total(model, (784,)).flops("true") == 2 * entries + COUNTS[name][1]


def test_costs_as_json(command):
    done = command("mlp", "costs", "paper", "--json", results=False)
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)
    assert [line["name"] for line in lines] == list(PLANS["paper"].arms)
    assert min(line["latency_1_us"] for line in lines) > 0
    wrong = command("mlp", "costs", "papre", results=False)
    assert wrong.returncode == 2
    assert "did you mean 'paper'" in wrong.stderr


def test_models_follow_the_stages_protocol():
    net = build(PLANS["paper"].arms["B-MLP-3-1"], 784, 10, seed=0)
    x = torch.randn(5, 784)
    (logits,) = net.forward_exits(x)
    assert torch.equal(logits, net(x))
    y = x
    for stage in net.stages:
        y = stage(y)
    assert torch.equal(y, logits)


def test_seeds_share_nothing_they_should_not():
    arms = PLANS["paper"].arms
    a, b = (build(arms["R-MLP-3-1"], 784, 10, s) for s in (0, 1))
    assert a.stages[0][0].pattern.digest() != b.stages[0][0].pattern.digest()
    a, b = (build(arms["B-MLP-3-1"], 784, 10, s) for s in (0, 1))
    assert a.stages[0][0].pattern.digest() == b.stages[0][0].pattern.digest()
    assert not torch.equal(a.stages[0][0].weight, b.stages[0][0].weight)
    again = build(arms["B-MLP-3-1"], 784, 10, 1)
    assert all(torch.equal(p, q) for p, q in zip(b.parameters(), again.parameters(), strict=True))


def test_original_settings():
    config = PLANS["paper"].arms["B-MLP-3-4"]
    assert (config.lr, config.momentum, config.batch_size, config.epochs) == (0.01, 0.5, 32, 10)
    assert (config.init, config.sparse_bias, config.pattern) == ("dense", False, "iddl")
    layer = build(config, 784, 10, 0).stages[0][0]
    assert layer.bias is None
    assert layer.weight.std().item() == pytest.approx((2 / 784) ** 0.5, rel=0.1)
    for plan in PLANS.values():
        assert len(plan.seeds) >= 5
        assert len({arm_key(k, v) for k, v in plan.arms.items()}) == len(plan.arms)


def test_rows_have_every_criterion():
    config = PLANS["smoke"].override({"epochs": 1}).arms["R-MLP-3-1"]
    (row,) = train(config, 3)
    criteria = {"epoch", "train_loss", "test_loss", "test_accuracy", "train_time", "inference_time"}
    assert criteria <= set(row)
    facts = describe(config, Job())
    assert facts["connections"] == 408
    assert {"parameters", "flops", "macs", "bytes", "split"} <= set(facts)
    (rows,) = train_stack(config, [0, 3], Job())
    assert rows[1]["train_loss"] == pytest.approx(row["train_loss"], rel=1e-4)


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A small real run of the whole study."""
    from harness.cli import main
    from mlp.experiments import VERBS

    folder = tmp_path_factory.mktemp("dump")
    path = folder / "mlp_experiments_20260102_030405.p"
    argv = ["smoke", "--seeds", "2", "--epochs", "2", "--quiet", "--jobs", "1"]
    argv += ["--results", str(folder / "results"), "--dump", str(path)]
    assert main(PLANS, "mlp", VERBS, argv) == 0
    return path


STEMS = ["", "_sparse_only", "_accuracy", "_loss", "_train_loss"]


def test_plots_of_a_dump(dump, tmp_path, capsys):
    assert plot.main([str(dump), "--out", str(tmp_path)]) == 0
    for stem in STEMS:
        for suffix in ("png", "eps", "json"):
            assert (tmp_path / f"mlp_experiments{stem}.{suffix}").stat().st_size > 500
    log = (tmp_path / "log" / "mlp_experiments_plot_20260102_030405.log").read_text()
    assert log in capsys.readouterr().out
    assert "digits (fixed stratified split, 1437 train / 360 test), 2 epochs, 2 seeds" in log
    data = json.loads((tmp_path / "mlp_experiments.json").read_text())
    whole = store.load(dump)
    mean = sum(whole.final("B-MLP-3-2", "test_accuracy").values()) / 2
    assert data["series"]["B-MLP"]["mean"][1] == pytest.approx(mean)
    assert data["series"]["B-MLP"]["connections"] == [408, 650, 960, 1344]
    assert set(
        json.loads((tmp_path / "mlp_experiments_sparse_only.json").read_text())["series"]
    ) == {
        "B-MLP",
        "R-MLP",
    }


def test_axes_and_legend(dump):
    found = {stem: fig for stem, fig, _ in plot.figures(store.load(dump))}
    (ax,) = found["mlp_experiments"].get_axes()
    assert ax.get_xlabel() == "connections (parameters without biases)"
    assert ax.get_ylabel() == "test accuracy"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(plot.LABELS.values())
    assert len(found["mlp_experiments_accuracy"].get_axes()) == 4


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_original_projects_own_dump_is_plotted(tmp_path, capsys, legacy_dump, protocol):
    path = tmp_path / "mlp_experiments_20200507_152923.p"
    legacy_dump(path, protocol)
    assert plot.main([str(path), "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "B-MLP-3-1            728  0.8396 (n=1, no interval)" in text
    data = json.loads((tmp_path / "mlp_experiments.json").read_text())
    assert data["series"]["MLP"] == {
        "connections": [13064],
        "arm": ["MLP-3-1"],
        "mean": [0.9486],
        "low": [None],
        "high": [None],
        "n": [1],
    }


def test_plot_errors_are_one_sentence(tmp_path, capsys, monkeypatch):
    assert plot.main([str(tmp_path / "none.p")]) == 2
    assert "none.p" in capsys.readouterr().err
    (tmp_path / "evil.p").write_bytes(pickle.dumps(print))
    assert plot.main([str(tmp_path / "evil.p")]) == 2
    assert "not an allowed name" in capsys.readouterr().err
    monkeypatch.setattr(plot, "HERE", tmp_path / "mlp")
    assert plot.main([]) == 2
    assert "run `bash mlp/run_mlp_experiments.sh`" in capsys.readouterr().err


def test_the_newest_dump_is_the_default(tmp_path):
    for stamp in ("20260101_000000", "20251231_235959", "20260101_000001"):
        (tmp_path / f"mlp_experiments_{stamp}.p").touch()
    assert plotting.newest(tmp_path, "mlp_experiments").name == "mlp_experiments_20260101_000001.p"


def test_published_numbers_are_all_there():
    for plan in ("paper", "notebook"):
        assert set(PLANS[plan].arms) <= set(PUBLISHED)


def test_memory_that_ends_while_a_net_is_made_is_told_in_words(monkeypatch):
    def full(*given, **named):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(trainer, "stack", full)
    with pytest.raises(MemoryError, match=r"batch_size=32, 1 seeds, hidden \(4,\): lower"):
        list(trainer.train(Config(hidden=(4,), data="digits"), 0))
