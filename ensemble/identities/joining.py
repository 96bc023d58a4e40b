"""Identities of members together: a stack is a loop is each alone, and packed nets are the nets.

All in float64, answers and the gradients of every parameter. The longest chain of sums is that of
a convolution's gradient: over 9 positions of 6 samples, of what comes through sums of 5, 36 and 18
products. With all else that is under CHAIN roundings of numbers below 16, on either side.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn

from bibd import SparseLinear
from ensemble.members import Ensemble
from ensemble.packed import Members, PackedLinear, packed_conv2d
from ensemble.shared import BatchEnsembleLinear
from ensemble.together.storage import Storage
from harness.result.identity import Identity, apart, furthest, roundings

MEMBERS, SAMPLES, CLASSES = 4, 6, 5
CHAIN = 200
BOUND = roundings(2 * CHAIN, 16.0)


def dense() -> nn.Module:
    """A dense perceptron of 12 inputs."""
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, CLASSES))


def sparse() -> nn.Module:
    """A perceptron whose design is drawn, so that members differ in it."""
    seed = int(torch.randint(2**31, ()))
    layer = SparseLinear(12, 9, "bibd", seed=seed)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(9, CLASSES))


def convolution() -> nn.Module:
    """A convolution with batch norm, of 2 channels of 5 x 5."""
    front = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(36, CLASSES))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (dense, (12,)),
    "sparse of different designs": (sparse, (12,)),
    "convolution with batch norm": (convolution, (2, 5, 5)),
}


def made(name: str) -> tuple[Ensemble, torch.Tensor]:
    """Return an ensemble in eval mode, its statistics not those of a start, and inputs."""
    factory, shape = NETS[name]
    net = Ensemble(factory, MEMBERS, seed=5).double()
    g = torch.Generator().manual_seed(8)
    x = torch.randn(SAMPLES, *shape, generator=g).double()
    if any(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        net.train()
        with torch.no_grad():
            net.members(x)
    return net.eval(), x


def identities() -> Iterator[Identity]:
    """Yield the identities of members together."""
    for name in NETS:
        title = f"{name}: stack = each alone"
        yield Identity(title, "rounding", lambda n=name: stacked(n), BOUND)
        title = f"{name}: loop = each alone"
        yield Identity(title, "bitwise", lambda n=name: looped(n))
        title = f"{name}: one member = the net"
        yield Identity(title, "bitwise", lambda n=name: alone(n))
        title = f"{name}: the first 2 of {MEMBERS} = an ensemble made with 2"
        yield Identity(title, "bitwise", lambda n=name: prefix(n))
    yield Identity("packed layers = the nets", "rounding", packed, BOUND)
    title = "packed convolutions = the nets"
    yield Identity(title, "rounding", packed_convolutions, BOUND)
    title = "BatchEnsemble = layers of weight W * s r^T"
    yield Identity(title, "rounding", batch_ensemble, BOUND)


def _grads(net: Ensemble) -> list[torch.Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]


def _against(name: str, ask: Callable[[Ensemble, torch.Tensor], torch.Tensor]) -> float:
    """Compare answers and gradients of a way to ask with those of deep copies, each alone."""
    net, x = made(name)
    copies = copy.deepcopy(net)
    found, made_ = ask(net, x), torch.stack([each(x) for each in copies.nets])
    pull = torch.randn(made_.shape, generator=torch.Generator().manual_seed(1)).double()
    found.backward(pull)
    made_.backward(pull)
    pairs = zip(_grads(net), _grads(copies), strict=True)
    return furthest(apart(found.detach(), made_.detach()), *(apart(a, b) for a, b in pairs))


def stacked(name: str) -> float:
    """Compare the stack that shares the members' memory with each alone."""

    def ask(net: Ensemble, x: torch.Tensor) -> torch.Tensor:
        storage = Storage(net.nets)
        storage.stack.eval()
        return storage.gathered(x.expand(MEMBERS, *x.shape))

    return _against(name, ask)


def looped(name: str) -> float:
    """Compare the loop with each alone."""
    return _against(name, lambda net, x: net.joined.loop(x))


@torch.no_grad()
def alone(name: str) -> float:
    """Compare an ensemble of one with its member."""
    net, x = made(name)
    one = net.nets[0]
    both = Ensemble([one]).eval()
    made_ = torch.log_softmax(one(x), -1)
    return furthest(apart(both(x), made_), apart(both.members(x)[0], one(x)))


def prefix(name: str) -> float:
    """Compare first weights of the first members with those of a smaller ensemble."""
    factory, _ = NETS[name]
    more, fewer = Ensemble(factory, MEMBERS, seed=5), Ensemble(factory, 2, seed=5)
    pairs = zip(more.nets[:2].parameters(), fewer.parameters(), strict=True)
    return furthest(*(apart(a.detach(), b.detach()) for a, b in pairs))


@torch.no_grad()
def packed() -> float:
    """Compare packed perceptrons with the nets that they were made of."""
    net, x = made("dense")
    firsts, lasts = ([each[k] for each in net.nets] for k in (0, 2))  # pyright: ignore
    layers = PackedLinear.of(firsts, first=True), nn.ReLU(), PackedLinear.of(lasts)
    together = nn.Sequential(*layers, Members(MEMBERS))
    return apart(together(x), net.joined.loop(x))


@torch.no_grad()
def packed_convolutions() -> float:
    """Compare two convolutions, a first one and one in groups, with the separate ones."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        firsts = [nn.Conv2d(2, 4, 3).double() for _ in range(MEMBERS)]
        seconds = [nn.Conv2d(4, 3, 2, stride=2, groups=1).double() for _ in range(MEMBERS)]
        x = torch.randn(SAMPLES, 2, 6, 6).double()
    found = packed_conv2d(seconds)(packed_conv2d(firsts, first=True)(x).relu())
    each = [b(a(x).relu()) for a, b in zip(firsts, seconds, strict=True)]
    return apart(Members(MEMBERS)(found), torch.stack(each))


@torch.no_grad()
def batch_ensemble() -> float:
    """Compare the members of a shared layer with ordinary layers of their weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layer = BatchEnsembleLinear(12, 9, MEMBERS).double()
        x = torch.randn(SAMPLES, 12).double()
    return apart(layer(x), torch.stack([layer.member(m)(x) for m in range(MEMBERS)]))
