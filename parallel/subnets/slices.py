"""Cuts and merges what moves between the master of a subnet training and its workers.

A master and a worker's own tensors are dicts of the same names:

    "0.weight"                     parameters, and running statistics
    "0.weight/momentum_buffer"     the optimizer's state of a parameter
"""

from collections.abc import Sequence
from typing import Any

import torch

from harness.train.stepping import fresh
from parallel.subnets.cutting import Chain, Cut, Parts, give, take
from parallel.world.comm import normal

Tensors = dict[str, torch.Tensor]


def cut_of(name: str, how: Chain) -> Cut:
    """Return how a tensor is cut, a state as its parameter.

    (None, None) means that everybody has all of it.
    """
    return how.cuts.get(name.split("/")[0], (None, None))


def pieces(master: Tensors, how: Chain, parts: Parts) -> Tensors:
    """Return what one worker gets."""
    return {k: take(v, cut_of(k, how), parts) for k, v in master.items()}


def merge(
    master: Tensors,
    how: Chain,
    parts: Sequence[Parts],
    got: Sequence[Tensors],
    counts: Sequence[float],
    begin: dict[str, float] | None = None,
) -> Tensors:
    """Return a new master: owned slices in their places, shared tensors averaged by samples.

    `begin`: what an optimizer's state is where nobody has had a number yet, if not 0.
    """
    new = {k: v.clone() for k, v in master.items()}
    place = next((v.device for v in master.values()), None)  # (workers may be on several)
    got = [{k: v.to(place) for k, v in one.items()} for one in got]
    shares = normal(counts)
    for name in got[0]:
        cut = cut_of(name, how)
        if cut == (None, None):
            mixed = sum(s * one[name].double() for s, one in zip(shares, got, strict=True))
            same = len(got) == 1
            new[name] = got[0][name].clone() if same else mixed.to(got[0][name])  # pyright: ignore
            continue
        if name not in new:  # a state that the first steps have made
            parameter, _, key = name.partition("/")
            new[name] = torch.full_like(master[parameter], (begin or {}).get(key, 0.0))
        for own, one in zip(parts, got, strict=True):
            give(new[name], one[name], cut, own)
    return new


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check that an optimizer's state can follow the neurons.

    Raises:
        ValueError: names the optimizer and what of its state has no place.
    """
    name = type(optimizer).__name__
    advice = "take one whose state is a tensor per weight, such as SGD, Adam or RMSprop"
    for p, state in [*optimizer.state.items(), *_probe(optimizer)]:
        for key, value in state.items():
            if _misfit(value, p):
                raise ValueError(f"ist: {name} keeps {key!r}, which cannot be cut; {advice}")


def _misfit(value: Any, p: torch.Tensor) -> bool:
    if not isinstance(value, torch.Tensor):
        return not (value is None or isinstance(value, bool | int | float | str))
    return value.shape != p.shape and value.numel() != 1


def untouched(optimizer: Any) -> dict[str, float]:
    """Return the optimizer's states of a number at zero that it stepped without a gradient."""
    ((_, state),) = _probe(optimizer, 0.0) or [(None, {})]
    found = {k: v for k, v in state.items() if isinstance(v, torch.Tensor) and v.numel() > 1}
    return {k: float(v.flatten()[0]) for k, v in found.items()}


def _probe(optimizer: Any, value: float = 1.0) -> list[tuple[torch.Tensor, dict]]:
    """Return the state after a step on a small matrix, which is known before any training."""
    p = torch.nn.Parameter(torch.full((2, 3), value))
    p.grad = torch.full_like(p, value)
    try:
        small = fresh(optimizer, [p])
        small.step()
    except Exception:  # somebody's own: judged after its first step
        return []
    return [(p, small.state[p])]
