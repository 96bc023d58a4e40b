"""What each piece of a net gives, how dear it is, and where to cut for even stages."""

import copy
import time
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from parallel.pipeline.count import Work
from parallel.pipeline.layers import in_words, kind


def tried(row: list[nn.Module], x: torch.Tensor, times: int) -> tuple[list[str], list[float]]:
    """What each piece gives that cannot be handed on ("": it can), and its cost.

    Args:
        row: The pieces; copies of them are called.
        x: Inputs of the first.
        times: How often each is called, forward and backward, its shortest time being the cost; 0:
            once, and its work is counted (parallel.pipeline.count).

    Raises:
        ValueError: a piece does not take what the one before it gives.
    """
    given, costs, y = [], [], x
    with torch.random.fork_rng():
        for i, piece in enumerate(copy.deepcopy(row)):
            name = f"piece {i} ({type(piece).__name__})"
            with in_words(name, x):
                try:
                    runs = [_time(piece, y) for _ in range(times)] or [_work(piece, y)]
                except (RuntimeError, TypeError, AttributeError) as error:
                    raise ValueError(
                        f"{name} cannot be given {kind(y)}{_size(y)}: {type(error).__name__}: "
                        f"{str(error).splitlines()[0]}{_next(piece, y, i, given)}"
                    ) from None
            costs.append(min(cost for cost, _ in runs))
            y = runs[-1][1]
            whole = isinstance(y, torch.Tensor) and y.is_floating_point()
            given.append("" if whole else f"{name} gives {kind(y)}")
    return given, costs


def _size(value: Any) -> str:
    return f" of size {tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""


def _next(piece: nn.Module, y: Any, i: int, given: list[str]) -> str:
    """What to do about it, where that can be known."""
    if not isinstance(y, torch.Tensor):
        return (
            f". {given[-1]}, and stages hand on one tensor: put pieces {i - 1} and {i} into one "
            "module that takes what it needs of it"
        )
    own = next((p.dtype for p in piece.parameters() if p.is_floating_point()), y.dtype)
    if own == y.dtype or not y.is_floating_point():
        return ""
    return (
        f". Its weights are {own}, and data are kept as float32: take net.float(), or a Data with "
        '.map(lambda x: x.double(), ("train_x", "test_x"))'
    )


def _time(piece: nn.Module, x: Any) -> tuple[float, Any]:
    x = tree_map(_fresh, x)
    begin = time.perf_counter()
    y = _both(piece, x)
    return time.perf_counter() - begin, y


def _work(piece: nn.Module, x: Any) -> tuple[float, Any]:
    x = tree_map(_fresh, x)
    with Work() as work:
        y = _both(piece, x)
    return work.total, y


def _both(piece: nn.Module, x: Any) -> Any:
    """Forward and backward; returns what the first gives."""
    y = piece(x)
    first = next((t for t in tree_leaves(y) if isinstance(t, torch.Tensor)), None)
    if first is not None and first.requires_grad:
        first.sum().backward()
    return tree_map(lambda t: t.detach() if isinstance(t, torch.Tensor) else t, y)


def _fresh(x: Any) -> Any:
    """As a piece will be given it, and may write into it."""
    if not isinstance(x, torch.Tensor):
        return x
    return x.detach().requires_grad_(x.is_floating_point()).clone()


def balanced(costs: Sequence[float], stages: int, able: Collection[int] | None = None) -> list[int]:
    """Cuts that make the dearest stage as cheap as can be, by dynamic programming.

    Args:
        costs: Of each piece.
        stages: How many.
        able: Where it may be cut; None: everywhere.
    """
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
                if (before := best[j]) is not None and (not j or able is None or j in able)
            )
            new[i] = min(ways, default=None)
        best = new
    found = best[n]
    assert found is not None
    return found[1][1:]
