"""Identities of members in training: companions, prefixes, and what was saved change nothing.

A stack computes what its members would alone, in another order of operations: after the few steps
that are made here, in float64, that is far below 1e-12. In a loop not one bit differs.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from bibd import SparseLinear
from ensemble.fit.boosting import WEIGHTS, Boosting
from ensemble.fit.training import Training
from ensemble.given import Factory, made
from harness.result.identity import Identity, apart, furthest

SAMPLES, INPUTS, CLASSES, EPOCHS, MEMBERS = 90, 16, 3, 2, 4


def dense() -> nn.Module:
    """Return a small dense net, from the stream that torch is at."""
    return nn.Sequential(nn.Linear(INPUTS, 8), nn.ReLU(), nn.Linear(8, CLASSES)).double()


def sparse() -> nn.Module:
    """Return a small net with a random design of its own."""
    layers = SparseLinear(INPUTS, 20, "random"), nn.ReLU(), nn.Linear(20, CLASSES)
    return nn.Sequential(*layers).double()


def conv() -> nn.Module:
    """Return a small convolutional net."""
    layers = nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(12, CLASSES)).double()


def normed() -> nn.Module:
    """Return a small net with batch norm, which is looped."""
    layers = nn.Linear(INPUTS, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES)
    return nn.Sequential(*layers).double()


KINDS: dict[str, Factory] = {"dense": dense, "sparse, different designs": sparse, "conv": conv}


def task() -> tuple[torch.Tensor, torch.Tensor]:
    """Return samples around three corners, half of them hard to tell apart."""
    g = torch.Generator().manual_seed(5)
    y = torch.arange(SAMPLES) % CLASSES
    x = torch.randn(SAMPLES, INPUTS, generator=g, dtype=torch.float64)
    x[:, :CLASSES] += 1.5 * nn.functional.one_hot(y, CLASSES)
    return x, y


def identities() -> Iterator[Identity]:
    """Yield the identities of members in training."""
    for name, kind in KINDS.items():
        yield Identity(f"stack = loop, {name}", "rounding", lambda k=kind: together(k))
    yield Identity("stack = loop, bootstraps", "rounding", lambda: together(dense, bootstrap=True))
    yield Identity("member 2 of 4 = member 2 alone", "rounding", lambda: alone(dense))
    yield Identity(
        "member 2 of 4 with batch norm, looped = member 2 alone", "bitwise", lambda: alone(normed)
    )
    yield Identity("2 of 4 members = an ensemble trained with 2", "rounding", lambda: prefix(True))
    yield Identity("2 of 4 = 2, looped", "bitwise", lambda: prefix(False))
    yield Identity("2 of 4 boosted members = boosted with 2", "bitwise", boosted_prefix)
    yield Identity("weights that are all alike = no weights", "bitwise", alike)
    yield Identity("one epoch more is another net", "negative", longer)
    yield Identity(
        "killed in epoch 2 of a stack and resumed = not killed", "bitwise", lambda: saved(True, 1)
    )
    yield Identity(
        "killed in member 1 of a loop and resumed = not killed", "bitwise", lambda: saved(False, 3)
    )
    for how in WEIGHTS:
        yield Identity(
            f"killed in boosted member 1 and resumed, {how} = not killed",
            "bitwise",
            lambda how=how: resumed(lambda: _boosting(weights=how), 3),
        )


def parameters(nets: Sequence[nn.Module]) -> torch.Tensor:
    """Return all parameters and statistics of nets, one behind the other."""
    parts = [v.flatten().double() for net in nets for v in net.state_dict().values() if _number(v)]
    return torch.cat(parts).detach()


def _number(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _training(kind: Factory = dense, count: int = MEMBERS, **rest: Any) -> Training:
    return Training(made(kind, count), *task(), **{"epochs": EPOCHS, "batch_size": 20, **rest})


def _boosting(members: int = MEMBERS, **rest: Any) -> Boosting:
    rest = {"weights": "loss", "learning_rate": 0.5, "batch_size": 20, **rest}
    return Boosting(dense, *task(), members=members, epochs=EPOCHS, **rest)


def together(kind: Factory, **rest: Any) -> float:
    """Compare members trained as a stack with members trained one after the other."""
    stack, loop = _training(kind, **rest), _training(kind, together=False, **rest)
    assert not stack.looped, stack.looped
    return apart(parameters(stack.fit()), parameters(loop.fit()))


def alone(kind: Factory) -> float:
    """Compare a member with one that is trained by itself under its number."""
    among = _training(kind).fit()[2]
    single = Training(made(kind, 1, first=2), *task(), EPOCHS, first=2, batch_size=20)
    return apart(parameters([among]), parameters(single.fit()))


def prefix(join: bool) -> float:
    """Compare the first members with those of a smaller ensemble."""
    large, small = (_training(count=count, together=join).fit() for count in (MEMBERS, 2))
    return apart(parameters(large[:2]), parameters(small))


def boosted_prefix() -> float:
    """Compare the first boosted members, and what they say, with a smaller ensemble."""
    large, small = _boosting(), _boosting(2)
    a, b = large.fit()[:2], small.fit()
    says = [torch.tensor(each.course.alphas[:2]) for each in (large, small)]
    return furthest(apart(parameters(a), parameters(b)), apart(*says))


def alike() -> float:
    """Compare equal weights with none."""
    weighted = _training(sample_weight=torch.full((SAMPLES,), 4.0))
    return apart(parameters(weighted.fit()), parameters(_training().fit()))


def longer() -> float:
    """Return how far one epoch more moves the members."""
    return apart(parameters(_training(epochs=EPOCHS + 1).fit()), parameters(_training().fit()))


def saved(together: bool, rows: int) -> float:
    """Compare independent members that go on from a file with members that never stopped."""
    return resumed(lambda: _training(together=together), rows)


def resumed(make: Callable[[], Any], epochs: int) -> float:
    """Compare what goes on from a file, after so many rows, with what never stopped."""
    first = make()
    for _ in islice(first, epochs):
        pass
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = make()
    again.load_state_dict(torch.load(file, weights_only=True))
    whole = make()
    far = apart(parameters(again.fit()), parameters(whole.fit()))
    if isinstance(whole, Boosting):
        says = [torch.tensor(each.course.alphas) for each in (again, whole)]
        far = furthest(far, apart(*says))
    return far
