"""Inputs, links and functions that do not fit, as somebody gives them who begins: said in words."""

import numpy as np
import pytest
import torch
from torch import nn

from ensemble import Ensemble
from ensemble.calibrate import Calibrated
from ensemble.cascade import Cascade, timed
from ensemble.fit.training import Training

X, Y = torch.randn(24, 8, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3


def net():
    return nn.Linear(8, 3)


def cascade(links=None):
    return Cascade([net(), net()] if links is None else links).eval()


def training(x=X, **task):
    return Training([net(), net()], x, Y, epochs=1, **task)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: cascade()(X.double()), r"inputs are torch.float64 and links torch.float32: x.to"),
        (lambda: cascade()(X[:, :5]), r"links cannot read inputs of shape \(24, 5\): "),
        (lambda: cascade()(X.numpy()), r"inputs are a tensor, got an? .*ndarray.*as_tensor\(x\)"),
        (lambda: cascade().record(X.double()), "inputs are torch.float64 and links"),
        (lambda: cascade().record(X, batch=0), "batch must be a whole number of at least 1"),
        (lambda: Calibrated(net()).fit(X.double(), Y, "validation"), "and the net torch.float32"),
        (lambda: training(X.double()), "inputs are torch.float64 and member 0 torch.float32"),
        (lambda: training(X[:, :5]), r"member 0 cannot read inputs of shape \(24, 5\)"),
        (lambda: training(way="RigL"), r"way= is a function or None .* got a str"),
        (lambda: training(schedule=3), "schedule= is a function or None"),
        (lambda: Ensemble([nn.Flatten(2)])(torch.ones(3)), r"members cannot read inputs of shape"),
        (lambda: timed(net(), X, 8), "timed takes a Cascade, got a Linear"),
        (lambda: timed(cascade(), X, 0), "batch must be a whole number of at least 1"),
        (lambda: timed(cascade(), X, 8, calls=0), "calls must be a whole number of at least 1"),
        (lambda: timed(cascade(), X, 8, beside=[net()]), r"beside= are nets by name"),
        (lambda: timed(cascade(), X.numpy(), 8), "inputs are a tensor"),
    ],
)
def test_what_does_not_fit_is_said_in_words(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize(
    ("links", "text"),
    [
        (nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 3)), "list of nets, .* got one Sequential"),
        (Ensemble(net, 2), r"got one Ensemble: .* Cascade\(\[net\]\) of one ensemble"),
        (net, "a cascade is made of a list of nets, the cheapest first, got a function"),
        (None, "a cascade is made of a list of nets, the cheapest first, got a NoneType"),
        ([], "no links"),
        ([net(), 3], "link 1 is a torch.nn.Module, got an int"),
    ],
)
def test_links_are_a_list_of_nets(links, text):
    with pytest.raises(ValueError, match=text):
        Cascade(links)


def test_a_link_is_asked_once():
    same = net()
    with pytest.raises(ValueError, match="link 1 is link 0 itself"):
        Cascade([same, same])


def test_an_optimizer_of_other_parameters_is_refused():
    """Members that share a stack are trained by the stack's tensors: theirs would never move."""
    nets = [net(), net()]
    theirs = [p for member in nets for p in member.parameters()]
    for others in (theirs, [*theirs[:1], torch.nn.Parameter(torch.zeros(2))]):
        with pytest.raises(ValueError, match=r"holds none of the \d that it was given"):
            Training(nets, X, Y, epochs=1, optimizer=lambda _, p=others: torch.optim.Adam(p))


def test_an_optimizer_may_leave_parameters_out_and_group_them():
    def some(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest[1:]}], lr=0.2)

    nets = [net(), net()]
    before = [member.weight.detach().clone() for member in nets]
    Training(nets, X, Y, epochs=1, optimizer=some).fit()
    assert all(not torch.equal(a, member.weight) for a, member in zip(before, nets, strict=True))


class Tokens(nn.Module):
    """A net that reads numbers of words."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, x):
        return self.table(x).mean(1)


class Forgetful(nn.Linear):
    """A net with a mistake of its own."""

    def forward(self, x):
        return super().forward(x) * self.hidden_size


@pytest.mark.parametrize(
    ("member", "x", "error"),
    [
        (Tokens(), torch.ones(3, 2, dtype=torch.int16), RuntimeError),  # (x.long(), not x.float())
        (Tokens(), torch.full((3, 2), 7), IndexError),
        (Forgetful(8, 3), X, AttributeError),
    ],
)
def test_inputs_are_not_blamed_for_what_is_not_theirs(member, x, error):
    with pytest.raises(error):
        Ensemble([member])(x)


def test_what_torch_says_of_something_else_stays():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        cascade([Broken(), net()])(X)
    assert np.isfinite(cascade()(X).detach().numpy()).all()
