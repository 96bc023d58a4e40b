"""`python -m parallel gossip`, and Splintr's benchmark."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from harness.data import Data, load
from harness.record.checkpoint import load_checkpoint
from parallel import DataParallel, benchmarks
from parallel.thesis.bunyan import Log
from parallel.thesis.checkpoint import Checkpoints
from parallel.thesis.options import Options, unused
from parallel.thesis.run import run
from parallel.thesis.setting import SETTINGS, filled, model, read, strategy
from parallel.world.procs import WorkerError
from tests.tree import ROOT

VOLATILE = ("time", "pid", "hostname")


def records(folder, rank=0):
    lines = (folder / f"rank_{rank}.log").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k not in VOLATILE} for x in lines]


def once(tmp_path, name="a", **options):
    words = dict(world="sim", log_path=tmp_path / name) | options
    (row,) = run(Options(**words))
    return row


@pytest.mark.parametrize(
    "method", ["local", "noComm", "gradAllReduce", "elasticGossip", "gossipingSgd"]
)
def test_every_method_on_iris(method, tmp_path):
    row = once(tmp_path, agg_method=method, agg_period=2, agg_prob=0.5)
    assert row["step"] == 75  # 100 flowers, 25 a worker, one at a time, 3 epochs
    assert len(row["worker_accuracy"]) == 4
    assert "100 train, 25 validation, 25 test" in row["split"]
    for rank in range(4):
        lines = records(tmp_path / "a", rank)
        assert {line["name"] for line in lines} == {f"Rank-{rank}"}
        assert {line["level"] for line in lines} <= {30, 40}
        assert sum("TrainLoss" in line for line in lines) == 7
        assert {line["Update"] for line in lines if "ValLoss" in line} == set(range(10, 80, 10))
        assert next(x["TestAcc"] for x in lines if "TestAcc" in x) == row["worker_accuracy"][rank]
        assert any(x.get("ValAccPerc", "").endswith(" %") for x in lines)
        assert ("AggTestAcc" in {k for x in lines for k in x}) == (rank == 0)
    meta = json.loads((tmp_path / "a" / "metadata.json").read_text())
    assert meta["agg_method"] == method
    assert meta["master_port"] == "29500"
    assert {"__version__", "timestamp", "data", "setting", "seed"} <= set(meta)


def test_0_is_a_value_and_none_is_the_experiments():
    assert filled(Options(momentum=0.0)).momentum == 0
    assert not filled(Options(experiment="mnist", momentum=0.0)).nesterov
    assert filled(Options(experiment="mnist")).nesterov
    assert not filled(Options(experiment="mnist", no_nesterov=True)).nesterov
    assert filled(Options(epochs=0)).epochs == 0
    assert filled(Options(learning_rate=0.0)).learning_rate == 0
    assert filled(Options()) == SETTINGS["iris"]
    assert SETTINGS["mnist"].epochs == 100
    assert SETTINGS["cifar10"].anneal_milestones == (15, 30, 40)


def test_the_models_of_the_thesis():
    names = {"iris": 83, "mnist": 784 * 1024 + 2 * 1024 * 1024 + 10 * 1024 + 3 * 1024 + 10}
    for name, count in names.items():
        net = model(Options(experiment=name), load("iris"), 0)
        assert sum(p.numel() for p in net.parameters()) == count
    dropouts = [m.p for m in model(Options(experiment="mnist"), load("iris"), 0) if hasattr(m, "p")]
    assert dropouts == [0.2, 0.5, 0.5, 0.5]
    first = model(Options(experiment="mnist"), load("iris"), 0)[1]
    assert first.weight.detach().std() == pytest.approx((2 / 784) ** 0.5, rel=0.01)
    cifar = model(Options(experiment="cifar10", width=4), load("synthetic_images"), 0)
    assert cifar(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert (
        strategy(Options(num_workers=1, agg_method="elasticGossip")).__class__.__name__ == "Local"
    )
    train = read(Options())[0]
    assert [len(x) for x in (train.train_x, train.validation_x, train.test_x)] == [100, 25, 25]


@pytest.mark.parametrize("world", ["sim", pytest.param("procs", marks=pytest.mark.slow)])
def test_from_checkpoint_goes_on_to_the_bit(world, tmp_path, capsys):
    words = dict(
        agg_method="elasticGossip", agg_prob=0.5, checkpoint_interval=1, world=world, timeout=20.0
    )
    whole = once(tmp_path, "whole", **words)
    once(tmp_path, "cut", epochs=2, **words)
    shutil.copytree(tmp_path / "cut", tmp_path / "again")
    again = once(tmp_path, "again", from_checkpoint=True, **words)
    exact = ("test_loss", "test_accuracy", "worker_accuracy", "bytes_payload", "samples", "step")
    assert {k: whole[k] for k in exact} == {k: again[k] for k in exact}
    ranks = range(4) if world == "procs" else range(1)
    for rank in ranks:
        a, b = (
            load_checkpoint(tmp_path / name / f"rank_{rank}.cp.pt")["session"]["team"]["members"]
            for name in ("whole", "again")
        )
        flat = lambda s: nn.utils.parameters_to_vector(  # noqa: E731
            [
                v
                for m in (s.values() if isinstance(next(iter(s.values())), dict) else [s])
                for v in m.values()
            ]
        )
        assert torch.equal(flat(a), flat(b))
    if world == "sim":
        with pytest.raises(ValueError, match="with workers 4, this one has 3"):
            once(tmp_path, "again", from_checkpoint=True, **words, num_workers=3)
        for place in (tmp_path / "again").glob("*.cp.pt"):
            place.unlink()
        once(tmp_path, "again", from_checkpoint=True, **words, epochs=1)
        assert "rank_0.cp.pt not in" in capsys.readouterr().err


def test_a_rank_that_could_not_save_does_not_end_the_run_for_good(tmp_path):
    """Its disk was full: it has one epoch less than the others, who still have that one too."""
    words = dict(agg_method="elasticGossip", agg_prob=0.5, checkpoint_interval=1, world="procs")
    words |= dict(timeout=30.0, num_workers=2)
    whole = once(tmp_path, "whole", **words)
    once(tmp_path, "cut", epochs=2, **words)
    (tmp_path / "cut" / "rank_1.cp.pt").unlink()
    again = once(tmp_path, "cut", from_checkpoint=True, **words)
    exact = ("test_loss", "worker_accuracy", "bytes_payload", "samples", "step")
    assert {k: whole[k] for k in exact} == {k: again[k] for k in exact}
    with pytest.raises(ValueError, match="with world procs, this one has sim"):
        once(tmp_path, "cut", from_checkpoint=True, **{**words, "world": "sim"})
    for rank in range(2):
        steps = [kept(tmp_path / "cut", rank, which) for which in ("before.", "")]
        assert steps == [50, 75]
    (tmp_path / "cut" / "rank_0.cp.pt").unlink()
    (tmp_path / "cut" / "rank_1.before.cp.pt").unlink()
    with pytest.raises(WorkerError, match=r"no step in common in .* \(rank 0: 50; rank 1: 75\)"):
        once(tmp_path, "cut", from_checkpoint=True, **words)


def kept(folder, rank, which):
    return load_checkpoint(folder / f"rank_{rank}.{which}cp.pt")["session"]["done"]


def test_what_is_newer_than_the_step_that_was_taken_is_removed(tmp_path):
    """So that the next save keeps the step that all have as the one before."""
    words = dict(world="sim", checkpoint_interval=1)
    once(tmp_path, "x", **words)
    comm = SimpleNamespace(rank=0, everyone=lambda step: [step, min(step, 50)])
    setting = filled(Options(**words))
    shards = SimpleNamespace(steps=25)
    taken = []
    training = SimpleNamespace(done=50, shards=shards, load_state_dict=taken.append)
    training.digest = load_checkpoint(tmp_path / "x" / "rank_0.cp.pt")["digest"]
    options = Options(log_path=tmp_path / "x", **words)
    assert Checkpoints(comm, options, setting, training).restore()
    assert [one["done"] for one in taken] == [50]
    assert kept(tmp_path / "x", 0, "") == 50
    assert not (tmp_path / "x" / "rank_0.before.cp.pt").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full")
def test_a_full_disk_under_a_log_is_told_as_under_a_checkpoint():
    log = Log(Path("/dev/full"), 0)
    with pytest.raises(OSError, match=r"could not write /dev/full: No space left on device\. What"):
        log.write({"Update": 1})
    log.close()
    with pytest.raises(OSError, match=r"could not write /dev/null/x/rank_0.log: Not a directory"):
        Log(Path("/dev/null/x/rank_0.log"), 0)


def test_a_refused_run_leaves_what_was_there(tmp_path):
    """The description of the run that is there, and its logs."""
    words = dict(world="sim", checkpoint_interval=1, epochs=1)
    once(tmp_path, "x", **words)
    before = {p.name: p.read_bytes() for p in (tmp_path / "x").iterdir()}
    with pytest.raises(ValueError, match=r"was trained with learning_rate 0.01, this call has 0.5"):
        once(tmp_path, "x", from_checkpoint=True, learning_rate=0.5, **words)
    with pytest.raises(ValueError, match="200 workers"):
        once(tmp_path, "x", num_workers=200, **words)
    assert {p.name: p.read_bytes() for p in (tmp_path / "x").iterdir()} == before


def test_a_new_run_of_the_same_name_leaves_nothing_of_the_old(tmp_path, capsys):
    once(tmp_path, "x", world="sim", checkpoint_interval=1, epochs=1)
    assert (tmp_path / "x" / "rank_0.cp.pt").exists()
    once(tmp_path, "x", world="sim", num_workers=2, epochs=1)
    assert "are replaced" in capsys.readouterr().err
    names = sorted(p.name for p in (tmp_path / "x").iterdir())
    assert names == ["metadata.json", "rank_0.log", "rank_1.log"]
    once(tmp_path, "x", world="sim", num_workers=2, epochs=1, checkpoint_interval=1)
    once(tmp_path, "x", world="sim", num_workers=2, epochs=1, from_checkpoint=True)
    assert "1 epochs are done already: nothing is left to train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (dict(width=4), "--width: no effect (--experiment iris)"),
        (dict(test_split="holdout"), "--test-split: no effect (Iris is split by the seed)"),
        (dict(penalty=2.0), "--penalty: no effect (without --weighted-gossip)"),
        (dict(elastic_alpha=0.1), "--elastic-alpha: no effect (--agg-method gradAllReduce)"),
        (dict(agg_prob=0.1, agg_period=2), "--agg-prob and --agg-period: no effect"),
        (dict(agg_prob=0.1, agg_method="gossipingSgd"), None),
    ],
)
def test_options_without_effect_are_told(words, said):
    told = [f"{' and '.join(names)}: no effect ({why})" for names, why in unused(Options(**words))]
    assert [text for text in told if said and said in text] == told
    assert bool(told) == bool(said)


def test_iris_has_no_holdout(tmp_path):
    assert once(tmp_path, test_split="holdout", epochs=1)["step"] == 25


def test_numbers_that_are_none_end_in_a_sentence(tmp_path, capsys):
    from parallel.thesis.main import main

    words = ["--world", "sim", "--learning-rate", "1e30", "--log-path", str(tmp_path / "x")]
    assert main(words) == 1
    assert "error: worker" in capsys.readouterr().err


def test_batches_need_not_divide(tmp_path):
    row = once(tmp_path, batch_size=10, num_workers=3, epochs=2)
    assert row["samples"] == 200


@pytest.mark.slow
def test_the_default_run_in_processes(tmp_path, command):
    """As a user types it; Bunyan's own viewer reads the log where it is installed."""
    done = command("parallel", "gossip", "--log-path", tmp_path / "x", results=False)
    assert done.returncode == 0, done.stderr
    assert "gloo is used" in done.stderr
    assert "mean of the workers' weights: test accuracy" in done.stdout
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [
        "metadata.json",
        *(f"rank_{r}.log" for r in range(4)),
    ]
    if viewer := shutil.which("bunyan"):
        log = str(tmp_path / "x" / "rank_0.log")
        words = [viewer, "--color", "-o", "short", "-c", "this.TestAcc > 0", log]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert "TestAcc" in shown.stdout
        assert "Rank-0" in shown.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--agg-method", "elasticGosip"], "did you mean 'elasticGossip'"),
        (["--experiment", "mnits"], "did you mean 'mnist'"),
        (["--elastic-alpha", "0"], "--elastic-alpha must be in (0, 1]"),
        (["--agg-period", "0"], "--agg-period must be 1 or more"),
        (["--rank", "7"], "--rank 7 of --num-workers 4"),
        (["--rank", "0", "--world", "sim"], "--rank is of --world procs"),
        (["--checkpoint-interval", "0"], "--checkpoint-interval must be 1 or more, got 0"),
        (["--penalty", "nan"], "--penalty must be in (0, 100]"),
        (["--learning-rate", "nan"], "--learning-rate must be a number, 0 or more"),
        (["--anneal-milestones", "-1"], "--anneal-milestones must be 0 or more, got -1"),
        (["--anneal-factor", "-1"], "--anneal-factor must be a number, 0 or more"),
        (["--seed", "-5"], "--seed must be 0 or more, got -5"),
        (["--timeout", "nan"], "--timeout must be a number of seconds above 0"),
        (["--width", "0"], "--width must be 1 or more"),
        (["--exp-id", "../evil"], "--exp-id is the name of a folder in logs/"),
        (["--exp-id", ""], "--exp-id is the name of a folder in logs/"),
        (["--rank", "1", "--master-loc", "127.0.0.1:99999"], "expected address:port"),
        (["--comm-backend", "mpi"], "unknown comm-backend"),
        (["--num-workers", "200", "--world", "sim"], "200 workers for 100 samples"),
        (["--num-workers", "8", "--world", "sim"], "a batch of 4 for 8 workers"),
        (["--experiment", "mnist", "--data-root", "nowhere", "--world", "sim"], "mnist"),
    ],
)
def test_wrong_words(words, text, tmp_path, capsys, monkeypatch, no_network):
    from harness.cli import main
    from parallel.experiments import PLANS, VERBS

    monkeypatch.chdir(tmp_path)
    try:
        status = main(PLANS, "parallel", VERBS, ["gossip", *words])
    except SystemExit as error:
        status = error.code
    assert status == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert text in said


# Splintr's benchmark


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def test_time_to_accuracy():
    """The same in every run; a record of builtin values; it ends at the target."""
    words = dict(flatten=True, epochs=12, lr=0.3, verbose=0)
    wrap = lambda m: DataParallel(style="localSGD", model=m, workers=2, iterations=4)  # noqa: E731
    a, b = (benchmarks.run(small(), "digits", wrap, **words, target_acc=0.9) for _ in range(2))
    json.dumps(a)
    assert [r["accuracy"] for r in a["rows"]] == [r["accuracy"] for r in b["rows"]]
    assert a["rows"][-1]["accuracy"] >= 0.9 > a["rows"][-2]["accuracy"]
    assert a["epochs_to_target"] == len(a["rows"]) < 12
    assert a["seconds_to_target"] == a["seconds"] == sum(r["seconds"] for r in a["rows"])
    assert a["strategy"].startswith("LocalSGD(")
    never = benchmarks.run(small(), "digits", **{**words, "epochs": 1})
    assert never["seconds_to_target"] is None
    assert never["rows"][0]["top10"] == 1.0
    blind = benchmarks.run(small(), "digits", evaluate=False, **{**words, "epochs": 1})
    assert "accuracy" not in blind["rows"][0]
    with pytest.raises(ValueError, match="targets are shares"):
        benchmarks.run(small(), "digits", target_acc=1.5, **words)


def test_images_and_the_signature_of_splintr(monkeypatch, capsys):
    data = load("synthetic_images")
    seen = {}

    def fake(name, *rest):
        seen["name"] = name
        return data

    monkeypatch.setattr(benchmarks, "load", fake)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    record = benchmarks.cifar100(net, None, 20, 1, 1, True, 3, epochs=1)
    assert seen["name"] == "cifar100"
    assert len(record["rows"]) == 1
    assert "batch 50/60" in capsys.readouterr().err
    normal = benchmarks.normalised(data).train_x
    assert normal.mean((0, 2, 3)).abs().max() < 1e-4
    assert (normal.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_a_benchmark_leaves_numbers_of_words_as_they_are():
    x, y = torch.arange(40).view(10, 4), torch.arange(10) % 2
    texts = Data.from_tensors(x, y, tokens=True)
    assert benchmarks.normalised(texts) is texts


def test_the_vgg_of_splintr():
    net = benchmarks.vgg11(100)
    linears = [m for m in net.classifier if isinstance(m, nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in linears]
    assert sizes == [(25088, 4096), (4096, 4096), (4096, 100)]
    assert [m.p for m in net.classifier if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert any(isinstance(m, nn.BatchNorm2d) for m in net.features)


@pytest.mark.slow
def test_nobody_trains_on_when_the_parent_is_terminated(tmp_path):
    words = ["gossip", "--epochs", "100000", "--num-workers", "2", "--log-path", str(tmp_path)]
    argv = [sys.executable, "-m", "parallel", *words]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 90
        log = tmp_path / "rank_1.log"
        while not (log.exists() and log.stat().st_size > 2000) and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    time.sleep(3)
    size = log.stat().st_size
    time.sleep(2)
    assert log.stat().st_size == size > 2000
