"""The wrapper and the optimizer: closures, steps within steps, modes, masks, options without effect."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.nets.dropout import KeyedDropout
from parallel import STRATEGIES, DataParallel
from tests.parallel.wrap.nets import batch, shallow, step


@pytest.mark.parametrize("n", [12, 13])
def test_what_lies_before_the_wrapper_gets_its_own_gradient(n):
    encoder = nn.Linear(5, 5).double()
    grads = []
    for head in (shallow(), DataParallel(style="local_sgd", model=shallow(), workers=4)):
        encoder.zero_grad()
        x, y = batch(n)
        F.cross_entropy(head(encoder(x)), y).backward()
        grads.append(encoder.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-14)


def test_a_closure_is_refused():
    wrapped = DataParallel(style="all_reduce", model=shallow(), workers=2)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"SGD.step\(closure\): gradients have to be there before"):
        optimizer.step(lambda: F.cross_entropy(wrapped(batch()[0]), batch()[1]))


class Twice(torch.optim.SGD):
    """A step that calls another."""

    def step(self):
        return super().step()


def test_a_step_within_a_step_counts_once():
    wrapped = DataParallel(style="local_sgd", model=shallow(), workers=2, iterations=3)
    torch.optim.SGD(shallow().parameters(), lr=0.1)
    optimizer = Twice(wrapped.parameters(), lr=0.1)
    for k in range(5):
        step(wrapped, optimizer, k)
    assert wrapped.steps == 5


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


def test_eval_mode_trains_nobody_and_says_so():
    wrapped = DataParallel(style="local_sgd", model=shallow(), workers=2).eval()
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="nobody trains: call train"):
        step(wrapped, optimizer)


def test_gradients_are_averaged_from_one_start_whatever_the_initializer_does():
    start = lambda m: nn.init.normal_(m[0].weight)  # noqa: E731
    wrapped = DataParallel(style="all_reduce", model=shallow(), workers=2, initializer=start)
    a, b = wrapped.replicas
    assert torch.equal(a[0].weight, b[0].weight)


def test_torch_style_has_one_set_of_weights():
    with pytest.raises(ValueError, match='style="all_reduce" for replicas'):
        DataParallel(style="torch", model=shallow(), workers=4)


@pytest.mark.parametrize("style", [*STRATEGIES, "torch"])
def test_an_optimizer_of_the_bare_model_is_refused(style):
    bare = shallow()
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    wrapped = DataParallel(style=style, model=bare, workers=1 if style == "torch" else 2)
    optimizer.zero_grad()
    optimizer.step()  # nothing of ours is waiting for a step
    with pytest.raises(ValueError, match="make it from the wrapper's"):
        step(wrapped, optimizer)
    step(wrapped, torch.optim.SGD(wrapped.parameters(), lr=0.1))
    optimizer.step()  # nor is it now


@pytest.mark.parametrize("style", ["all_reduce", "zero3", "localSGD"])
def test_also_where_nobody_keeps_the_bare_model_and_of_some_parameters(style):
    net = shallow()
    optimizer = torch.optim.SGD([net[0].weight], lr=0.1)
    net = DataParallel(style=style, model=net, workers=2)
    with pytest.raises(ValueError, match="make it from the wrapper's"):
        step(net, optimizer)


@pytest.mark.parametrize("style", ["all_reduce", "zero2", "localSGD"])
def test_an_optimizer_of_what_lies_before_the_wrapper_steps_beside_its_own(style):
    before, net = nn.Linear(5, 5).double(), DataParallel(style, model=shallow(), workers=2)
    both = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (before, net)]
    x, y = batch()
    for _ in range(2):
        F.cross_entropy(net(before(x)), y).backward()
        for optimizer in both:
            optimizer.step()
    assert net.steps == 2


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
        DataParallel(model=shallow(), **words)


def test_a_registered_strategy_is_a_style(monkeypatch):
    from parallel import STRATEGIES
    from parallel.strategy.averaging import LocalSGD

    monkeypatch.setitem(STRATEGIES, "mine", LocalSGD)
    DataParallel(style="mine", model=shallow(), workers=2, period=3)
