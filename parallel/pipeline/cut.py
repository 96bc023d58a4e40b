"""Where a net is cut into stages: pieces in a row with one tensor between them.

    nn.Sequential        its children
    net.stages           those, where they in a row are the net (all nets of this house)
    any other            torch.fx, behind every operation after which one tensor alone is alive

`layer_split=[10, 20]` counts pieces, as ModelParallel does. Without it the pieces are timed on a
batch, forward and backward, and cut so that the slowest stage is as fast as can be.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from parallel.pipeline.trace import segments


@dataclass
class Parts:
    """The stages of a net; they share its layers.

    Args:
        modules: One for each stage.
        split: First piece of the second stage, of the third, ...
        pieces: How many there were to cut between.
    """

    modules: list[nn.Sequential]
    split: list[int]
    pieces: int


def pieces(model: nn.Module, x: torch.Tensor) -> list[nn.Module]:
    """What a net can be cut between.

    Args:
        model: The net.
        x: A few inputs, to show that the pieces are the net.

    Raises:
        ValueError: it cannot be cut.
    """
    if isinstance(model, nn.Sequential) and is_row(model):
        return list(model)
    own = getattr(model, "stages", None)
    if isinstance(own, nn.Sequential) and same(model, list(own), x):
        return list(own)
    found = segments(model)
    if not same(model, found, x):
        raise ValueError(
            f"{type(model).__name__}: its traced pieces give other numbers than the net; give it "
            "`stages`, an nn.Sequential whose parts in a row are its forward pass"
        )
    return found


def is_row(model: nn.Module) -> bool:
    """Whether a net is a Sequential, without a forward pass of its own."""
    return isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward


@torch.no_grad()
def same(model: nn.Module, row: list[nn.Module], x: torch.Tensor) -> bool:
    """Whether pieces in a row are the net, bit for bit, when it is tested."""
    modes = {m: m.training for m in model.modules()}
    model.eval()
    for piece in row:
        piece.eval()
    try:
        y = x
        for piece in row:
            y = piece(y)
        whole = model(x)
        return isinstance(y, torch.Tensor) and torch.equal(y, whole)
    except Exception:
        return False
    finally:
        for piece in row:
            piece.train()
        for module, mode in modes.items():
            module.training = mode


def cut(
    model: nn.Module, stages: int, layer_split: Sequence[int] | None, x: torch.Tensor, total=None
) -> Parts:
    """Cut a net into stages.

    Args:
        model: The net.
        stages: How many.
        layer_split: First piece of the second stage, of the third, ...; None: by measured times.
        x: A batch of inputs, to trace and to time.
        total: Adds up a number over all ranks, so that all cut alike.

    Raises:
        ValueError: says what does not fit.
    """
    row = pieces(model, x[:2])
    if stages > len(row):
        raise ValueError(
            f"{stages} stages for {len(row)} layers: {type(model).__name__} has {len(row)} pieces "
            f"to cut between, so take stages={len(row)} or fewer"
        )
    split = balanced(times(row, x, total), stages) if layer_split is None else list(layer_split)
    check_split(split, len(row), stages)
    ends = zip([0, *split], [*split, len(row)], strict=True)
    modules = [nn.Sequential(*row[a:b]) for a, b in ends]
    untied(model, modules)
    return Parts(modules, split, len(row))


def check_split(split: list[int], layers: int, stages: int) -> None:
    """Ascending numbers, one fewer than there are stages.

    Raises:
        ValueError: they are not.
    """
    whole = all(isinstance(k, int) and not isinstance(k, bool) for k in split)
    inside = whole and all(0 < k < layers for k in split)
    if not inside or sorted(set(split)) != split or len(split) != stages - 1:
        even = [round(layers * k / stages) for k in range(1, stages)]
        raise ValueError(
            f"layer_split={split}: expected {stages - 1} ascending numbers from 1 to {layers - 1} "
            f"for {stages} stages (the net has {layers} pieces), such as {even}"
        )


def untied(model: nn.Module, modules: list[nn.Sequential]) -> None:
    """Refuse a weight that two stages use.

    Raises:
        ValueError: names both places.
    """
    owner: dict[int, tuple[int, str]] = {}
    names = {id(p): n for n, p in model.named_parameters(remove_duplicate=False)}
    for k, module in enumerate(modules):
        for name, p in module.named_parameters():
            first = owner.setdefault(id(p), (k, name))
            if first[0] != k:
                every = [n for n, q in model.named_parameters(remove_duplicate=False) if q is p]
                raise ValueError(
                    f"{' and '.join(every) or names[id(p)]} are one weight, in stages {first[0]} "
                    f"and {k}: cut the net so that both are in one stage, or give each a weight of "
                    "its own"
                )


def times(row: list[nn.Module], x: torch.Tensor, total=None) -> list[float]:
    """Seconds of each piece, forward and backward; the shorter of two after a first."""
    found = []
    for piece in copy.deepcopy(row):
        best = min(_time(piece, x)[0] for _ in range(3))
        x = _time(piece, x)[1]
        found.append(total(best) if total else best)
    return found


def _time(piece: nn.Module, x: torch.Tensor) -> tuple[float, torch.Tensor]:
    x = x.detach().requires_grad_(x.is_floating_point())
    begin = time.perf_counter()
    y = piece(x)
    if y.requires_grad:
        y.sum().backward()
    return time.perf_counter() - begin, y.detach()


def balanced(costs: Sequence[float], stages: int) -> list[int]:
    """Cuts that make the dearest stage as cheap as can be, by dynamic programming."""
    sums = [0.0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    n = len(costs)
    # best[i]: (dearest of the stages so far, their cuts) for the first i pieces
    best: list[tuple[float, list[int]] | None] = [(0.0, []), *[None] * n]
    for k in range(stages):
        new: list[tuple[float, list[int]] | None] = [None] * (n + 1)
        for i in range(k + 1, n + 1):
            ways = (
                (max(before[0], sums[i] - sums[j]), [*before[1], j])
                for j in range(k, i)
                if (before := best[j]) is not None
            )
            new[i] = min(ways)
        best = new
    found = best[n]
    assert found is not None
    return found[1][1:]
