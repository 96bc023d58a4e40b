"""The members of an ensemble as they are given: nets, or a function that makes them and a count."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from harness.seeding import seeded

Factory = Callable[[], nn.Module]


def made(factory: Factory, count: int, seed: int = 0, first: int = 0) -> list[nn.Module]:
    """Return `count` nets, each with first weights of its own, from number `first` on.

    They are those of `Ensemble(factory, count, seed=seed)`.
    """
    if count < 1:
        raise ValueError(f"an ensemble has at least one member, got {count}")
    nets = []
    for member in range(first, first + count):
        with seeded(seed, "init", member):
            nets.append(factory())
    return nets


def listed(nets: Any, count: int | None, seed: int) -> list[nn.Module]:
    """Return the members that were given, or made by a function, each with its own start.

    Raises:
        ValueError: none, one of them twice, something else than nets, or a count that does not fit.
    """
    if isinstance(nets, nn.Module) and not isinstance(nets, nn.ModuleList):
        raise ValueError(
            f"an ensemble is made of a list of nets or a function that makes one, got one "
            f"{type(nets).__name__}: [net], or a function that makes it anew"
        )
    given = isinstance(nets, nn.ModuleList | Sequence)
    found = list(nets) if given or not callable(nets) else _make(nets, count, seed)
    if not found:
        raise ValueError("no members: an ensemble has at least one net")
    if count not in (None, len(found)):
        raise ValueError(f"{len(found)} nets were given and count={count}: leave count out")
    return _different(found)


def _make(factory: Any, count: int | None, seed: int) -> list[nn.Module]:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"how many members, at least 1: Ensemble(factory, 9); got count={count!r}")
    return made(factory, count, seed)


def _different(nets: list[Any]) -> list[nn.Module]:
    """Return the members if they are modules, none of them twice."""
    for member, net in enumerate(nets):
        if not isinstance(net, nn.Module):
            raise ValueError(f"member {member} is no torch.nn.Module, got {type(net).__name__}")
        first = next(m for m, other in enumerate(nets) if other is net)
        if first != member:
            raise ValueError(
                f"member {member} is member {first} itself, so they could never differ: make each "
                "anew, or copy.deepcopy it"
            )
    return nets
