"""Replayed steps of ResNets are the eager ones to the bit: by a tape that stands for a graph."""

import copy
import dataclasses

import pytest
import torch

from harness.job import Job
from harness.train import graph
from resnet import trainer
from resnet.plans.config import QUICK
from resnet.trainer import paths, train
from tests.tape import Tape

# 150 images in batches of 32: each epoch has four steps to be replayed, and one of 22 images.
TINY = dataclasses.replace(
    QUICK,
    depth=10,
    width=4,
    epochs=2,
    batch_size=32,
    data="digits",
    test_split="official",
    first=150,
)
SPARSE = dict(pattern="iddl", width=8)
EXITS = dict(exits=(2, 3), head="pool", validation=50, first=200)
KINDS = [
    EXITS | dict(autocast=True),
    EXITS | SPARSE | dict(exit_loss="frozen", schedule="constant"),
]


@pytest.fixture(autouse=True)
def tape(monkeypatch):
    """A CPU that has graphs, and sparse layers that know one way to compute, watched or not."""
    monkeypatch.setitem(graph.RECORDERS, "cpu", Tape)
    monkeypatch.setattr(Tape, "made", [])
    build = trainer.build

    def dense(*words):
        net = build(*words)
        for module in net.modules():
            if hasattr(module, "backend"):
                module.backend = "dense"
        return net

    monkeypatch.setattr(trainer, "build", dense)
    return Tape


def run(config, job):
    """Its rows, without times."""
    rows = list(train(config, 1, job))
    return [{k: v for k, v in row.items() if not k.endswith("_time")} for row in rows]


def assert_equal(one, other):
    a, b = (job.parts["net"].state_dict() for job in (one, other))
    assert list(a) == list(b)
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("changes", KINDS, ids=["exits, half", "sparse, frozen"])
def test_replayed_steps_are_eager_ones_with_every_kind_of_loss_and_rate(changes, tape):
    eager, replayed = Job(), Job()
    config = dataclasses.replace(TINY, graph="off", **changes)
    expected = run(config, eager)
    assert paths()["step"] == "eager"
    assert run(dataclasses.replace(config, graph="on"), replayed) == expected
    assert_equal(replayed, eager)
    assert paths()["step"] == "CUDA graph"
    (one,) = tape.made
    assert one.replays == 2 * 4 - graph.WARM


def test_the_tensor_of_the_rate_gives_the_numbers_of_the_plain_loop(tape, monkeypatch):
    first, second = Job(), Job()
    expected = run(TINY, first)
    monkeypatch.delitem(graph.RECORDERS, "cpu")
    assert run(TINY, second) == expected
    assert_equal(first, second)


def test_a_replayed_run_that_was_cut_off_goes_on_to_the_same_end(tape):
    whole, first = Job(), Job()
    expected = run(TINY, whole)
    it = train(TINY, 1, first)
    next(it)
    for how in ("auto", "off"):
        second = Job(saved=copy.deepcopy(first.state(1)))
        assert run(dataclasses.replace(TINY, graph=how), second) == expected[1:]
        assert_equal(second, whole)
    assert [one.replays for one in tape.made] == [2 * 4 - graph.WARM, 1, 4 - graph.WARM]


def test_a_card_that_fails_is_told_with_the_settings(monkeypatch):
    def gone(*_):
        raise RuntimeError("CUDA error: unspecified launch failure\nmore")

    monkeypatch.setattr(trainer, "step", gone)
    with pytest.raises(
        RuntimeError, match=r"taken away at batch_size=32, depth 10, width 4 \(CUDA"
    ):
        next(train(TINY, 0))


@pytest.mark.slow
def test_compiled_steps_are_near_and_the_first_row_has_the_bill(monkeypatch):
    """Losses after five steps at a rate that moves little; the code of torch.compile is its own."""
    from functools import partial

    monkeypatch.delitem(graph.RECORDERS, "cpu")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    config = dataclasses.replace(TINY, epochs=2, lr=1e-4, exits=(2,), head="pool")
    plain = list(train(config, 0))
    rows = list(train(dataclasses.replace(config, compile=True), 0))
    assert ["compile_time" in row for row in rows] == [True, False]
    assert 0 < rows[0]["compile_time"] <= rows[0]["train_time"]
    for a, b in zip(plain, rows, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
