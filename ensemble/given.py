"""The members of an ensemble as they are given: nets, or a function that makes them and a count."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from bibd.pattern import check_whole
from harness.names import kind_of
from harness.seeding import seeded

Factory = Callable[[], nn.Module]


def made(factory: Factory, count: int, seed: int = 0, first: int = 0) -> list[nn.Module]:
    """Return `count` nets, each with first weights of its own, from number `first` on.

    They are those of `Ensemble(factory, count, seed=seed)`.

    Raises:
        ValueError: a count that is none; no factory, or one that gives no net or one net twice.
    """
    check_factory(factory)
    check_whole("count", count, 1)
    nets = []
    for member in range(first, first + count):
        with seeded(seed, "init", member):
            nets.append(factory())
    different(nets)
    if count > 1:
        warn_alike(nets[0], nets[1])
    return nets


def warn_alike(net: nn.Module, other: nn.Module) -> None:
    """Warn where two nets that a function made begin with the very same weights."""
    pairs = list(zip(net.parameters(), other.parameters(), strict=False))
    if pairs and all(p.shape == q.shape and torch.equal(p, q) for p, q in pairs):
        warnings.warn(
            "members begin with the same weights, as what makes them sets a seed of its own: leave "
            "that out (mlp: seed=None), or make them one by one, [Net(seed=m) for m in range(9)]",
            stacklevel=3,
        )


def check_factory(factory: Any) -> None:
    """Raise ValueError for what is no function that makes a net, such as a net (also callable)."""
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ValueError(
            f"members are made anew by a function, such as lambda: Net(64, 10); got "
            f"{kind_of(factory)}"
        )


def members_of(nets: Any) -> list[nn.Module]:
    """Return the members that are to be trained: of an ensemble, or in a list.

    Raises:
        ValueError: one net, or what makes nets; none, one of them twice, something else than nets.
    """
    if (inner := inside(nets)) is not None:
        return different(list(inner))
    if not isinstance(nets, nn.ModuleList) and (isinstance(nets, nn.Module) or callable(nets)):
        what = "a function" if not isinstance(nets, nn.Module) else f"one {type(nets).__name__}"
        raise ValueError(
            f"members in training are a list of nets or an Ensemble, got {what}: made(factory, 9) "
            "makes such a list, [net] is a list of one"
        )
    if not (found := list(nets)):
        raise ValueError("an ensemble has at least one member, got none")
    return different(found)


def inside(net: Any) -> nn.ModuleList | None:
    """Return the members of an ensemble; None of any other net, whatever its parts are called.

    (What only holds a list called `nets` computes something of its own from their answers.)
    """
    nets = getattr(net, "nets", None)
    says = isinstance(getattr(net, "combine", None), str) and callable(getattr(net, "members", 0))
    return nets if says and isinstance(nets, nn.ModuleList) and len(nets) else None


def refuse_other_count(state: Any, start: str, here: int, what: str, whole: str, hint: str) -> None:
    """Raise ValueError, with both numbers, if a state has more or fewer parts than there are here.

    Args:
        state: A state_dict.
        start: How the names of the parts begin, before their numbers.
        here: How many there are.
        what: What one of the parts is called, in the plural.
        whole: What they make up.
        hint: What to do besides making as many.
    """
    saved = {key[len(start) :].split(".")[0] for key in state if key.startswith(start)}
    if saved and len(saved) != here:
        raise ValueError(
            f"a state of {len(saved)} {what} cannot be loaded into {whole} of {here}: make it with "
            f"{len(saved)}{hint}"
        )


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
    return different(found)


def _make(factory: Any, count: int | None, seed: int) -> list[nn.Module]:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"how many members, at least 1: Ensemble(factory, 9); got count={count!r}")
    return made(factory, count, seed)


def different(nets: list[Any], what: str = "member") -> list[nn.Module]:
    """Return the members (or links) if they are modules, none of them twice."""
    for member, net in enumerate(nets):
        if not isinstance(net, nn.Module):
            raise ValueError(f"{what} {member} is no torch.nn.Module, got {kind_of(net)}")
        first = next(m for m, other in enumerate(nets) if other is net)
        if first != member:
            raise ValueError(
                f"{what} {member} is {what} {first} itself, so they could never differ: make each "
                "anew, or copy.deepcopy it"
            )
    return nets
