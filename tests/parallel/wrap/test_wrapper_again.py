"""What a reviewer broke: each of these went wrong once."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

from harness.nets.dropout import KeyedDropout
from harness.stack import stack
from parallel import DataParallel, World, train
from parallel.identities import averaging as identities
from parallel.replicas.replicas import Looped, Stacked, replicas
from parallel.strategy import make
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from tests.tree import ROOT


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def batch(n=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=g).double(), torch.randint(3, (n,), generator=g)


def step(model, optimizer, k=0, n=12):
    x, y = batch(n, k)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("n", [12, 13])
def test_what_lies_before_the_wrapper_gets_its_own_gradient(n):
    encoder = nn.Linear(5, 5).double()
    grads = []
    for head in (net(), DataParallel(style="local_sgd", model=net(), workers=4)):
        encoder.zero_grad()
        x, y = batch(n)
        F.cross_entropy(head(encoder(x)), y).backward()
        grads.append(encoder.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-14)


def test_a_closure_is_refused():
    wrapped = DataParallel(style="all_reduce", model=net(), workers=2)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"SGD.step\(closure\): gradients have to be there before"):
        optimizer.step(lambda: F.cross_entropy(wrapped(batch()[0]), batch()[1]))


class Tied(nn.Module):
    """One weight, two layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = nn.Linear(5, 5).double(), nn.Linear(5, 5).double()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def test_shared_weights_are_averaged_under_both_names():
    wrapped = DataParallel(style="local_sgd", model=Tied(), workers=2, iterations=100)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.5)
    for k in range(4):
        step(wrapped, optimizer, k)
    a, b = (r.a.weight.detach() for r in wrapped.replicas)
    state = wrapped.state_dict()
    assert not torch.equal(a, b)
    assert torch.allclose(state["a.weight"], (a + b) / 2, atol=1e-14)
    assert torch.equal(state["a.weight"], state["b.weight"])


class Twice(torch.optim.SGD):
    """A step that calls another."""

    def step(self):
        return super().step()


def test_a_step_within_a_step_counts_once():
    wrapped = DataParallel(style="local_sgd", model=net(), workers=2, iterations=3)
    torch.optim.SGD(net().parameters(), lr=0.1)
    optimizer = Twice(wrapped.parameters(), lr=0.1)
    for k in range(5):
        step(wrapped, optimizer, k)
    assert wrapped.steps == 5


def test_the_consensus_follows_whoever_changes_the_replicas():
    wrapped = DataParallel(style="local_sgd", model=net(), workers=2)
    x, _ = batch()
    wrapped.eval()(x)
    average = AveragedModel(wrapped)
    optimizer = torch.optim.SGD(wrapped.train().parameters(), lr=0.5)
    for k in range(3):
        step(wrapped, optimizer, k)
        average.update_parameters(wrapped)
    before = net()(x)
    assert not torch.equal(average.eval()(x), before)
    states = [r.state_dict() for r in average.module.replicas]
    mean = {k: (states[0][k] + states[1][k]) / 2 for k in states[0]}
    bare = net()
    bare.load_state_dict(mean)
    assert torch.allclose(average(x), bare(x), atol=1e-12)


def test_as_a_part_of_a_larger_module():
    wrapped = DataParallel(style="easgd", model=net(), workers=2)
    outer = nn.Sequential(nn.Linear(5, 5).double(), wrapped)
    state = {k: v + 1 for k, v in outer.state_dict().items()}
    assert list(state) == ["0.weight", "0.bias", *(f"1.{k}" for k in net().state_dict())]
    outer.load_state_dict(state)
    for replica in outer[1].replicas:
        assert torch.equal(replica[0].weight, state["1.0.weight"])
    with pytest.raises(RuntimeError, match=r"1\.0\.weight"):
        outer.load_state_dict({k: v for k, v in state.items() if k != "1.0.weight"})


class Scaled(nn.Module):
    """A number, and one that nobody needs."""

    def __init__(self):
        super().__init__()
        self.inner, self.scale = nn.Linear(5, 3).double(), nn.Parameter(torch.tensor(2.0).double())
        self.unused = nn.Parameter(torch.ones(2).double())

    def forward(self, x):
        return self.inner(x) * self.scale


@pytest.mark.parametrize("maker", [torch.optim.SGD, torch.optim.Adam])
def test_numbers_without_axes_and_parameters_without_use(maker):
    bare = Scaled()
    wrapped = DataParallel(style="all_reduce", model=bare, workers=3)
    options = dict(lr=0.1, weight_decay=0.1)
    a, b = maker(bare.parameters(), **options), maker(wrapped.parameters(), **options)
    for k in range(3):
        step(bare, a, k)
        step(wrapped, b, k)
    for name, value in wrapped.state_dict().items():
        atol = 1e-13 if maker is torch.optim.SGD else 1e-7
        assert torch.allclose(value, bare.state_dict()[name], atol=atol), name
    assert torch.equal(wrapped.state_dict()["unused"], torch.ones(2).double())


def test_keyed_masks_differ_by_step_and_replica_in_the_wrapper():
    model = nn.Sequential(KeyedDropout(0.5), nn.Linear(64, 1, bias=False))
    nn.init.ones_(model[1].weight)
    wrapped = DataParallel(style="local_sgd", model=model, workers=2)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.0)
    seen = []
    for _ in range(2):
        out = wrapped(torch.rand(2, 64, generator=torch.Generator().manual_seed(0)).expand(2, 64))
        seen.append(out.detach())
        out.sum().backward()
        optimizer.step()
    assert not torch.equal(*seen)


class Hidden(nn.Module):
    """A mask inside a module of one's own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.a, self.drop, self.b = nn.Linear(4, 6), KeyedDropout(0.5), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.drop(self.a(x)))


def test_modules_of_ones_own_are_stacked_unless_they_hide_masks():
    assert isinstance(replicas([Hidden() for _ in range(3)]), Looped)

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a = nn.Linear(6, 3), nn.Linear(4, 6)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))

    nets = [Bare() for _ in range(3)]
    assert isinstance(replicas(nets), Stacked)
    assert next(iter(stack(nets).params)) == "b__weight"


def test_an_optimizer_that_looks_at_whole_matrices_is_not_stacked():
    words = identities.net, identities.task(), F.cross_entropy
    found = Training(*words, torch.optim.Adafactor, make("no_comm"), Comm(3), batch_size=9, seed=1)
    assert isinstance(found.members, Looped)


def test_eval_mode_trains_nobody_and_says_so():
    wrapped = DataParallel(style="local_sgd", model=net(), workers=2).eval()
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="nobody trains: call train"):
        step(wrapped, optimizer)


def test_gradients_are_averaged_from_one_start_whatever_the_initializer_does():
    start = lambda m: nn.init.normal_(m[0].weight)  # noqa: E731
    wrapped = DataParallel(style="all_reduce", model=net(), workers=2, initializer=start)
    a, b = wrapped.replicas
    assert torch.equal(a[0].weight, b[0].weight)


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(5)
    first = torch.rand(3)
    torch.manual_seed(5)
    list(train(identities.net(), identities.task(), world=World.sim(2), steps=2, batch_size=6))
    assert torch.equal(first, torch.rand(3))


def test_a_checkpoint_that_was_loaded_is_not_changed_later():
    session = identities.trained(make("easgd", alpha=0.2), steps=4)
    saved = session.state_dict()
    kept = {k: v.clone() for k, v in saved["team"]["centre"].items()}
    session.load_state_dict(saved)
    session.step()
    session.step()
    for k, v in kept.items():
        assert torch.equal(saved["team"]["centre"][k], v)


def test_torch_style_has_one_set_of_weights():
    with pytest.raises(ValueError, match='style="all_reduce" for replicas'):
        DataParallel(style="torch", model=net(), workers=4)


def test_frozen_layers_of_ranks_without_samples():
    """22 samples for three ranks: the last steps leave some without."""
    model = identities.net()
    model[0].requires_grad_(False)
    sgd = partial(torch.optim.SGD, **identities.MOMENTUM)
    words = model, identities.task(), F.cross_entropy, sgd, make("all_reduce")
    options = dict(batch_size=7, seed=5)
    *_, row = run(World.procs(3, timeout=20), identities.states, words, options, 12)
    assert torch.allclose(row["0.weight"], model[0].weight, rtol=0, atol=1e-15)


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


# What a newcomer met


@pytest.mark.parametrize("world", ["sim", "procs"])
def test_subnets_of_a_width_that_does_not_divide(world):
    """10 neurons for four workers; the same as masked full nets in plain Python."""
    from harness.nets.perceptron import mlp

    words = mlp((4, 10, 3)), identities.task(), F.cross_entropy
    model = words[0].double()
    crew = World.sim(4) if world == "sim" else World.procs(4, timeout=20)
    options = dict(steps=9, batch_size=8, every=9)
    (row,) = train(model, *words[1:], strategy=make("ist", period=4), world=crew, **options)
    (same,) = train(
        model, *words[1:], strategy=make("ist", period=4), world=World.sim(4), **options
    )
    assert row["test_loss"] == pytest.approx(same["test_loss"], abs=1e-12)
    assert row["consensus_distance"] is None


@pytest.mark.parametrize("rescale", ["auto", True, False])
def test_uneven_subnets_are_masked_nets(rescale):
    from parallel.identities import oracle
    from parallel.strategy.base import random
    from parallel.subnets.cutting import partition

    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    sgd = dict(lr=0.05, momentum=0.8, weight_decay=0.01)
    data = identities.task()
    found = Training(
        *(model.double(), data, F.cross_entropy, partial(torch.optim.SGD, **sgd)),
        *(make("ist", period=3, rescale=rescale), Comm(3)),
        batch_size=7,
        seed=5,
    )
    for _ in range(8):
        found.step()
    batches = [[i.tolist() for i in found.shards.at(k)] for k in range(1, 9)]
    parts = lambda k: [[p.tolist() for p in own] for own in partition([7, 5], 3, random(5, k))]  # noqa: E731
    words = batches, partial(oracle.SGD, **sgd), 3, parts, rescale
    xs, ys = data.train_x.tolist(), data.train_y.tolist()
    expected = oracle.subnets(identities._lists(model), xs, ys, *words)
    assert identities._apart([expected], [identities._flat(found)]) <= 1e-12


def test_rows_may_only_mix_what_was_sent():
    from dataclasses import dataclass

    from parallel import Strategy, verify
    from parallel.world.ops import Push, Round

    @dataclass
    class Thief(Strategy):
        def plan(self, seed, step):
            return Round(after=(Push(0, 1),) if self.workers > 1 else ())

        def rows(self, ops):
            return {0: {0: 0.5, 1: 0.5}}

    found = verify(Thief())
    assert not found.ok
    assert "0 mixes in 1, but the plan has no message from 1 to 0" in repr(found)
    assert "identities hold" in repr(found)
    assert verify("local_sgd").ok


def test_an_optimizer_of_the_bare_model_is_refused():
    bare = net()
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    wrapped = DataParallel(style="localSGD", model=bare, workers=2)
    optimizer.zero_grad()
    optimizer.step()  # nothing of ours is waiting for a step
    with pytest.raises(ValueError, match="make it from the wrapper's"):
        step(wrapped, optimizer)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (dict(style="elastic_gossip", iterations=5), "iterations=5 is the period of localSGD"),
        (dict(style="localSGD", iterations=3, period=5), "has no effect here"),
        (dict(style="torch", iterations=3), "has no effect here"),
    ],
)
def test_iterations_that_would_do_nothing(words, text):
    with pytest.raises(ValueError, match=text):
        DataParallel(model=net(), **words)


def test_a_registered_strategy_is_a_style(monkeypatch):
    from parallel import STRATEGIES
    from parallel.strategy.averaging import LocalSGD

    monkeypatch.setitem(STRATEGIES, "mine", LocalSGD)
    DataParallel(style="mine", model=net(), workers=2, period=3)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (dict(world=4), "world is World.sim"),
        (dict(data=7), "got a int"),
        (dict(steps=0), "1 or more"),
        (dict(strategy="localsgd"), "did you mean 'local_sgd'"),
    ],
)
def test_wrong_words_for_train(words, text):
    with pytest.raises(ValueError, match=text):
        list(train(identities.net(), **{"data": identities.task(), **words}))
