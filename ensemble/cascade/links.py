"""The links of a chain: what can be asked, in which order, and what each question costs.

    a net                                    one question
    an ensemble                              one for each of its members
    a net with exits (harness.exits)         one for each exit; no stage is run twice

After each question only the samples that are still undecided go on, gathered into a smaller
batch.
"""

from collections.abc import Generator, Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ensemble.given import inside
from harness import cost
from harness.cost import Cost
from harness.exits.exits import EarlyExit, keep

Asking = Generator[torch.Tensor, torch.Tensor, Any]


def questions(link: nn.Module) -> int:
    """Return how many questions can be put to a link."""
    if isinstance(link, EarlyExit):
        return link.exits
    nets = inside(link)
    return questions_of(nets) if nets else 1


def questions_of(links: Iterable[nn.Module]) -> int:
    """Return how many questions a sample is asked at most."""
    return sum(map(questions, links))


def ask(link: nn.Module, x: torch.Tensor) -> Asking:
    """Yield logits question by question; each time the places of those who stay are to be sent.

    Returns:
        The inputs that are left.
    """
    if isinstance(link, EarlyExit):
        return (yield from _exits(link, x))
    if nets := inside(link):
        for net in nets:
            x = yield from ask(net, x)
        return x
    stay = yield link(x)
    return _kept(x, stay)


def _exits(net: EarlyExit, x: torch.Tensor) -> Asking:
    inner = x
    for number, stage in enumerate(net.stages):
        inner = stage(inner)
        if number in net.after:
            stay = yield net.heads[net.after.index(number)](inner)
            inner, x = _kept(inner, stay), _kept(x, stay)
    stay = yield inner
    return _kept(x, stay)


def _kept(x: torch.Tensor, stay: torch.Tensor) -> torch.Tensor:
    """Return those who stay, in the order they have; not copied where that is everybody."""
    return x if len(stay) == len(x) else keep(x, stay)


def costs(link: nn.Module, shape: tuple[int, ...]) -> list[Cost]:
    """Return what each question costs beyond those before it, for one sample of this shape."""
    if isinstance(link, EarlyExit):
        return _steps(link.costs())
    if nets := inside(link):
        return [found for net in nets for found in costs(net, shape)]
    return [cost.total(link, shape)]


def _steps(so_far: list[Cost]) -> list[Cost]:
    """Return the differences of costs that grow."""
    before = [Cost(), *so_far[:-1]]
    return [_minus(a, b) for a, b in zip(so_far, before, strict=True)]


def _minus(a: Cost, b: Cost) -> Cost:
    return Cost(**{name: value - getattr(b, name) for name, value in asdict(a).items()})
