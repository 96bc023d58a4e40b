"""Strategies whose gradients travel in codecs: options, plans, wrappers, and what they remember."""

import copy
import re
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parallel import DataParallel, verify
from parallel.identities import averaging as identities
from parallel.linked.predicted import cost
from parallel.strategy import make
from parallel.strategy.averaging import GRADIENTS, GradientAllReduce
from parallel.strategy.compressed import PowerSGD, TopK
from parallel.world.codecs import Bfloat16, Largest, LowRank
from parallel.world.comm import NotFinite
from parallel.world.ops import AllReduce, Round, check, traffic
from tests.drawn import examples

NAMES = {"bf16": {}, "top_k": dict(fraction=0.2), "power_sgd": dict(rank=1)}
KEEPS = {k: NAMES[k] for k in ("top_k", "power_sgd")}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("top_k", dict(fraction=0.0), "fraction must be in (0, 1], got 0.0"),
        ("top_k", dict(fraction=1.5), "fraction must be in (0, 1], got 1.5"),
        ("top_k", dict(fraction=float("nan")), "fraction must be in (0, 1], got nan"),
        ("power_sgd", dict(rank=0), "rank is a number of columns, 1 or more, got 0"),
        ("power_sgd", dict(rank=2.0), "rank is a number of columns, 1 or more, got 2.0"),
        ("power_sgd", dict(rank=True), "rank is a number of columns, 1 or more, got True"),
        ("bf16", dict(average="float_buffers"), "bf16 averages gradients, so average=('float_buf"),
        ("bf16", dict(fraction=0.1), "unknown option of bf16 'fraction'"),
        ("topk", {}, "did you mean 'top_k'"),
    ],
)
def test_options_that_cannot_be(name, options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make(name, **options).init(3)


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (AllReduce("state", Bfloat16()), "only gradients have a codec; states go as they are"),
        (AllReduce("gradients", "bf16"), "a codec is an object such as Bfloat16()"),  # pyright: ignore
    ],
)
def test_plans_with_a_codec_that_cannot_be(op, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        check(Round((op,)), 3)


def test_a_plan_in_another_codec_than_is_counted_is_refused():
    class Other(TopK):
        def plan(self, seed, step):
            return Round((AllReduce("gradients", Largest(0.5)),))

    with pytest.raises(ValueError, match=r"Other.sends is Largest\(fraction=0.01\): it says in wh"):
        identities.trained(Other(), steps=1)


@given(st.integers(1, 5000), st.sampled_from([1e-4, 0.01, 0.07, 1 / 3, 0.5, 1.0]))
@examples(100)
def test_so_many_numbers_are_sent(numbers, fraction):
    k = Largest(fraction).count(numbers)
    assert 1 <= k <= numbers
    assert k - 1 < fraction * numbers + 1e-9
    assert fraction * numbers - 1e-9 <= k


@pytest.mark.parametrize("n", [2, 3, 8])
def test_bytes_and_rounds_of_a_step(n):
    """Of a layer of 10 to 20: 200 and 20 numbers of 4 bytes."""
    each = {
        "bf16": (2 * (n - 1) / n * 220 * 2, 2),
        "top_k": ((n - 1) * (40 + 4) * 8, 1),
        "power_sgd": (2 * (n - 1) / n * (30 + 20) * 4, 4 * (n - 1)),
    }
    for name, (bytes_, rounds) in each.items():
        strategy = make(name, **NAMES[name])
        strategy.init(n)
        size = sum(strategy.sends.size(shape, 4) for shape in ((20, 10), (20,)))
        assert strategy.theory(size, 3) == pytest.approx(3 * bytes_)
        assert traffic(strategy.plan(0, 1).before, n, size) == pytest.approx(n * bytes_)
        found = cost(strategy, 0, 3, n * strategy.theory(size, 3))
        assert found.bytes == pytest.approx(3 * bytes_)
        assert found.rounds == 3 * rounds
    assert 2 * each["bf16"][0] == pytest.approx(2 * (n - 1) / n * 220 * 4)


@dataclass
class Later(PowerSGD):
    """Whole gradients at first, as torch's hook has it: somebody's own plan."""

    since: int = 6

    def plan(self, seed, step):
        return super().plan(seed, step) if step > self.since or self.workers == 1 else GRADIENTS


def test_a_plan_may_begin_with_whole_gradients():
    assert verify(Later(rank=1)).ok
    whole, later = (identities.trained(s, steps=6) for s in (GradientAllReduce(), Later(rank=1)))
    assert identities.apart(whole.executor.consensus(), later.executor.consensus()) == 0


def wrapped(name, model=None, workers=2, **options):
    net = DataParallel(name, model=model or identities.net(), workers=workers, **NAMES[name])
    return net, torch.optim.SGD(net.parameters(), **{"lr": 0.1, **options})


def backward(net, index, weight=1.0):
    data = identities.task()
    x = data.train_x[index].to(next(p.dtype for p in net.parameters() if p.requires_grad))
    (weight * F.cross_entropy(net(x), data.train_y[index])).backward()


def kept(net):
    """All that its coder remembers."""
    memory = net.executor.gradients.coder.memory
    found = {f"{part} {k}": v for part, state in memory.items() for k, v in state.items()}
    return copy.deepcopy(found)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def owed(net, name):
    """What all workers keep of a tensor, per worker."""
    rest = net.executor.gradients.coder.memory["rest"]
    return rest[name].mean(0).reshape(-1) if name in rest else 0


@pytest.mark.parametrize("name", KEEPS)
def test_several_backwards_before_a_step_lose_nothing(name):
    """What the step takes and what is kept are the gradient of both micro-batches."""
    net, _ = wrapped(name)
    bare = identities.net()
    for index in (torch.arange(8), torch.arange(8, 14)):
        backward(net, index)
        backward(bare, index)
    for (key, p), q in zip(net.replicas[1].named_parameters(), bare.parameters(), strict=True):
        assert p.grad is not None
        whole = p.grad.reshape(-1) + owed(net, key)
        assert float((whole - q.grad.reshape(-1)).abs().max()) < 1e-14
        if q.grad.numel() > 20:
            assert float((p.grad - q.grad).abs().max()) > 1e-4


class Tied(nn.Module):
    """One matrix in two places, one layer that is frozen, whole numbers beside it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.a, self.b, self.c = (nn.Linear(4, 4).double() for _ in range(3))
        self.b.weight = self.a.weight
        self.c.requires_grad_(False)
        self.table = nn.Parameter(torch.arange(3), requires_grad=False)

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()))[:, self.table]


@pytest.mark.parametrize("name", NAMES)
def test_shared_frozen_and_whole_parameters(name):
    net, optimizer = wrapped(name, Tied())
    frozen = net.state_dict()["c.weight"].clone()
    for step in range(3):
        optimizer.zero_grad()
        backward(net, torch.arange(6) + step)
        optimizer.step()
    state = net.state_dict()
    assert torch.equal(state["a.weight"], state["b.weight"])
    assert torch.equal(state["c.weight"], frozen)
    assert state["table"].tolist() == [0, 1, 2]
    codec = net.executor.strategy.sends
    size = sum(codec.size(shape, 8) for shape in ((4, 4), (4,), (4,)))
    assert net.bytes_sent == 3 * codec.copies(2) * size
    assert {k.split(" ")[1] for k in kept(net)} <= {"a.weight", "a.bias", "b.bias"}


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_refused_with_worker_and_tensor(name):
    found = identities.training(make(name, **NAMES[name]))
    found.step()
    before = kept(found)
    p = found.members.params["2.bias"]
    p.register_hook(lambda g: g.view(3, -1).index_fill(0, torch.tensor(1), torch.nan).view_as(g))
    with pytest.raises(
        NotFinite, match=r"worker 1 has NaN or infinity in 2\.bias: it was not sent"
    ):
        found.step()
    assert same(before, kept(found))


@pytest.mark.parametrize("name", NAMES)
def test_a_wrapper_says_whose_gradients_broke_and_remembers_nothing_of_them(name):
    net, optimizer = wrapped(name)
    backward(net, torch.arange(8))
    optimizer.step()
    before = kept(net)
    optimizer.zero_grad()
    backward(net, torch.arange(8), weight=torch.inf)
    with pytest.raises(NotFinite, match="worker 0, worker 1: NaN or infinity among the gradients"):
        optimizer.step()
    assert same(before, kept(net))
    optimizer.zero_grad()
    backward(net, torch.arange(8))
    optimizer.step()
    assert all(bool(p.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_net_may_become_float32_meanwhile(name):
    net, optimizer = wrapped(name)
    for step in range(4):
        if step == 2:
            net.float()
        optimizer.zero_grad()
        backward(net, torch.arange(8) + step)
        optimizer.step()
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", KEEPS)
def test_a_model_that_is_loaded_begins_anew(name):
    net, optimizer = wrapped(name)
    begun = net.state_dict()
    begun = {k: v.clone() for k, v in begun.items()}
    ends = []
    for _ in range(2):
        net.load_state_dict(begun)
        optimizer.zero_grad()
        backward(net, torch.arange(8))
        optimizer.step()
        ends.append({k: v.clone() for k, v in net.state_dict().items()})
    assert identities.apart(*ends) == 0


@pytest.mark.parametrize("name", KEEPS)
def test_a_tensor_without_a_gradient_keeps_what_it_has(name):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(4, 6).double(), nn.Linear(4, 6).double()

        def forward(self, x, both):
            return self.a(x) + (self.b(x) if both else 0)

    net, optimizer = wrapped(name, Two())
    seen = []
    for both in (True, False):
        optimizer.zero_grad()
        net(identities.task().train_x, both).square().mean().backward()
        optimizer.step()
        seen.append(kept(net)["rest b.weight"])
    assert torch.equal(*seen)
    assert float(seen[0].abs().max()) > 0


def test_a_state_kept_under_another_codec_is_refused_and_none_is_a_beginning():
    saved = {}
    for name in ("all_reduce", "top_k", "power_sgd"):
        options = NAMES.get(name, {})
        saved[name] = identities.trained(make(name, **options), steps=2).state_dict()
    other = identities.training(make("power_sgd", rank=1))
    with pytest.raises(
        ValueError, match=r"kept under Largest\(fraction=0.2\), not LowRank\(rank=1\)"
    ):
        other.load_state_dict(saved["top_k"])
    other.load_state_dict(saved["power_sgd"])
    assert kept(other)
    other.load_state_dict(saved["all_reduce"])
    assert not kept(other)


@pytest.mark.parametrize("codec", [Bfloat16(), Largest(0.1), LowRank(3)])
def test_plans_tell_codecs_apart_and_have_none_in_groups(codec):
    op, other = AllReduce("gradients", codec), AllReduce("gradients")
    assert op != other
    assert Round((op,)).digest() != Round((other,)).digest()
    with pytest.raises(ValueError, match="a codec is for the mean of all workers, not of groups"):
        check(Round((AllReduce("gradients", codec, among=2),)), 4)
