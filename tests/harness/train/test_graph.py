"""Steps that are recorded and replayed: by a tape on the CPU, which does what a card does."""

import random
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from bibd.kernels.modes import is_replayed
from bibd.linear import StackedSparseLinear
from harness.data import Data, load
from harness.job import Job
from harness.stack import stack
from harness.train import graph
from harness.train.compiled import Bill, Compiled
from harness.train.faults import told
from harness.train.fit import fit
from harness.train.plateau import Plateau
from mlp.model import build
from mlp.plans.config import Config
from mlp.trainer import paths, train_stack
from tests.tape import Tape

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True)


@pytest.fixture
def tape(monkeypatch):
    """A CPU that has graphs; `made` are those that were recorded."""
    monkeypatch.setitem(graph.RECORDERS, "cpu", Tape)
    monkeypatch.setattr(Tape, "made", [])
    graph.taken()
    return Tape


def small(n=100):
    data = load("digits")
    return replace(data, train_x=data.train_x[:n], train_y=data.train_y[:n])


def rows_and_weights(how, make, job=None, **more):
    """Two members over three epochs of four steps, the last batch smaller."""
    job, nets = job or Job(), [make(seed) for seed in (3, 0)]
    net, data = stack(nets), small()
    options = dict(seeds=[3, 0], epochs=3, batch_size=32, job=job, graph=how) | more
    rows = list(fit(net, SGD(net.parameters()), data, **options))
    for row in (row for both in rows for row in both if row):
        row.pop("group_time")
    return rows, [p.clone() for p in net.parameters()]


def plain(seed, pattern="dense"):
    return build(Config(hidden=(16, 20), pattern=pattern), 64, 10, seed)


def with_dropout(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))


def assert_equal(a, b):
    assert a[0] == b[0]
    assert all(torch.equal(x, y) for x, y in zip(a[1], b[1], strict=True))


@pytest.mark.parametrize("make", [plain, partial(plain, pattern="iddl"), with_dropout])
def test_replayed_stacks_are_eager_ones_to_the_bit(tape, make, monkeypatch):
    monkeypatch.setattr(graph, "_draws", lambda: ())  # (here the device draws on the CPU)
    eager = rows_and_weights("off", make)
    assert not tape.made
    replayed = rows_and_weights("on", make)
    assert_equal(replayed, eager)
    (one,) = tape.made
    assert one.warmed == graph.WARM
    assert one.replays == 3 * 3 - graph.WARM  # without the smaller last batches
    assert graph.taken() == {"step": "CUDA graph"}


def test_settings_of_the_optimizer_may_change_between_epochs(tape):
    """They are numbers of Python, which a replay would go on with."""

    def lowered(how):
        net, data, losses = stack([plain(3)]), small(), []
        optimizer = SGD(net.parameters())
        options = dict(seeds=[3], epochs=4, batch_size=25, job=Job(), graph=how)
        for (row,) in fit(net, optimizer, data, **options):
            losses.append(row["train_loss"])
            optimizer.param_groups[0]["lr"] *= 0.1
        return losses

    assert lowered("on") == lowered("off")
    (one,) = tape.made
    assert one.records == 4  # one for each rate


def test_shares_of_the_rate_change_between_replays(tape):
    cooled = lambda: {"plateau": Plateau(2, 3, cooldown=2)}  # noqa: E731
    eager, replayed = (rows_and_weights(how, plain, **cooled()) for how in ("off", "on"))
    assert_equal(replayed, eager)
    warm = rows_and_weights("off", plain)
    assert warm[0][0] == eager[0][0]
    assert warm[0][2] != eager[0][2]


def test_a_tape_shows_what_a_graph_would_lose(tape):
    """The twin is worth something: a number, and a tensor that is another one each time."""
    held = {"number": 1.0, "tensor": torch.ones(2)}
    take = graph.stepper(lambda x: x * held["number"] + held["tensor"], "on", "cpu")
    for k in range(6):
        held = {"number": float(k), "tensor": torch.full((2,), float(k))}
        expected = torch.full((2,), float(3 * min(k, graph.WARM)))
        assert torch.equal(take(torch.full((2,), 2.0)), expected)


def test_the_result_is_the_callers_own_and_other_shapes_are_eager(tape):
    take = graph.stepper(lambda x: 2 * x, "auto", "cpu")
    found = [take(torch.full((3,), float(k))) for k in range(8)]
    assert [float(y[0]) for y in found] == [2.0 * k for k in range(8)]
    assert take(torch.ones(5)).shape == (5,)
    assert tape.made[0].replays == 8 - graph.WARM


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (lambda x: x * float(x.sum()), "RuntimeError: operation not permitted when stream is"),
        (lambda x: x if bool(x.sum() > 0) else -x, "RuntimeError: operation not permitted"),
        (lambda x: x + torch.tensor([1.0, 2.0]), "RuntimeError: operation not permitted"),
        (lambda x: x * (torch.rand(()) < 2), "it draws random numbers on the CPU"),
        (lambda x: x * (random.random() < 2), "it draws random numbers on the CPU"),
    ],
    ids=["waits", "decides", "brings numbers", "draws", "draws by itself"],
)
def test_what_cannot_be_recorded_stays_eager_and_says_why_once(tape, step, why):
    take = graph.stepper(step, "on", "cpu")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for k in range(6):
            x = torch.full((2,), float(k + 1))
            assert torch.equal(take(x), step(x))
    (said,) = heard
    assert why in str(said.message)
    assert why in graph.taken()["step"]
    assert not any(one.replays for one in tape.made)


def test_without_graphs_a_step_is_itself_and_on_is_refused():
    step = lambda x: x  # noqa: E731
    assert graph.stepper(step, "auto", "cpu") is graph.stepper(step, "off", "cpu") is step
    assert graph.taken() == {}
    with pytest.raises(ValueError, match="needs a CUDA card and the device is cpu: type auto"):
        graph.stepper(step, "on", "cpu")
    with pytest.raises(ValueError, match="unknown graph 'of'"):
        Config(hidden=(4,), graph="of")


def test_the_study_says_in_its_record_how_steps_were_made(tape):
    config = Config(hidden=(16,), data="digits", epochs=1, timed=False)
    list(train_stack(config, [0], Job()))
    assert paths()["step"] == "CUDA graph"
    list(train_stack(replace(config, graph="off"), [0], Job()))
    assert paths()["step"] == "eager"


def test_faults_are_told_in_words():
    for text, kind, words in (
        ("CUDA out of memory. Tried to allocate 2 GiB", MemoryError, "out of memory at width 9: l"),
        ("CUDA error: device lost\nhint", RuntimeError, r"at width 9 \(CUDA error: device lost\)"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when", MemoryError, "lower --width"),
        (
            "CUDA error: device-side assert triggered\nx",
            RuntimeError,
            "assert triggered at width 9: an",
        ),
        ("CUDA error: no kernel image is available", RuntimeError, "not built for this card"),
        ("something else", RuntimeError, "^something else$"),
    ):
        with pytest.raises(kind, match=words), told("width 9", "lower --width"):
            raise RuntimeError(text)


def test_only_the_first_shape_is_compiled_and_the_first_call_is_on_the_bill(monkeypatch):
    compiled = lambda f, **_: lambda x: f(x) + 100  # noqa: E731
    monkeypatch.setattr(torch, "compile", compiled)
    one = Compiled(lambda x: x.sum())
    assert [float(one(torch.ones(n))) for n in (3, 2, 3)] == [103, 2, 103]
    bill = Bill(one, "cpu")
    assert bill.row() == {}
    bill(torch.ones(3))
    assert bill.row()["compile_time"] > 0
    bill(torch.ones(3))
    assert bill.row() == {}


@pytest.mark.slow
def test_compiled_stacks_are_near_and_say_what_compiling_took(monkeypatch):
    """Float64: 8 steps from one start, apart by the rounding of sums in another order.

    (All of torch.compile but the code that it writes, which takes a minute.)
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    data: Data = small(256)
    data = replace(data, train_x=data.train_x.double(), test_x=data.test_x.double())
    rows = []
    for compiled in (False, True):
        net = stack([plain(seed).double() for seed in (0, 1)])
        options = dict(seeds=[0, 1], epochs=1, batch_size=32, job=Job(), compiled=compiled)
        rows += list(fit(net, torch.optim.SGD(net.parameters(), lr=0.1), data, **options))
    assert rows[1][0]["compile_time"] > 0
    assert "compile_time" not in rows[0][0]
    for a, b in zip(*rows, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-10)


def test_a_context_holds_the_steps_before_a_recording_and_the_recording_alone(tape):
    """In it layers choose for replayed calls; a batch of another size is no such call."""
    inside, seen = [False], []

    @contextmanager
    def within():
        inside[0] = True
        yield
        inside[0] = False

    def step(x):
        seen.append((len(x), inside[0]))
        return 2 * x

    take = graph.stepper(step, "on", "cpu", within=within)
    for size in (3, 3, 2, 3, 3, 3, 2):
        take(torch.ones(size))
    assert seen == [(3, True), (3, True), (2, False), (3, True), (3, True), (2, False)]


def test_sparse_layers_of_the_trainers_choose_for_replayed_steps(tape, monkeypatch):
    seen = []
    call = StackedSparseLinear.forward
    monkeypatch.setattr(
        StackedSparseLinear, "forward", lambda self, x: seen.append(is_replayed()) or call(self, x)
    )
    config = Config(hidden=(16, 20), pattern="iddl", data="digits", epochs=1, batch_size=400)
    next(train_stack(replace(config, graph="on"), [0], Job()))
    assert seen[0]
    assert not seen[-1]  # (the test set)
