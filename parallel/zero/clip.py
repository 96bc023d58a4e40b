"""Clips gradients that lie in slices by the norm of all of them, which no worker has alone."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch

from parallel.zero.executor import Executor

NONE = -1.0  # said by who has no gradient


def clipped(executor: Executor, most: float, kind: Any = 2.0) -> torch.Tensor:
    """Scale the gradients of the pieces here as torch's clip_grad_norm_ scales a whole net's.

    Args:
        executor: Of the workers here; all ranks have to ask together.
        most: The largest norm that there may be.
        kind: Which norm: 2.0, another power, "inf", or 0 for how many parameters have a gradient
            that is not zero.

    Returns:
        The norm before.
    """
    slices, kind = executor.states, float(kind)
    if executor.gradients.early is None:  # (no backward came here, but maybe to others)
        executor.gradients.flush()
    executor.gradients.forget_cleared()
    found = _counted(executor) if kind == 0 else _norm(executor, kind)
    total = torch.tensor(found, dtype=torch.float64)
    scale = torch.clamp(most / (total + 1e-6), max=1.0)
    for piece in slices.pieces.values():
        if piece.grad is not None:
            piece.grad.mul_(scale.to(piece.grad.device, piece.grad.dtype))
    return total.to(slices.device(), reduce(torch.promote_types, slices.layout.totals))


def _norm(executor: Executor, kind: float) -> float:
    """Return the norm of all gradients."""
    found = [p.grad for p in executor.states.pieces.values() if p.grad is not None]
    norms = [float(torch.linalg.vector_norm(g, kind, dtype=torch.float64)) for g in found]
    each = executor.comm.everyone(added(norms, kind) if norms else NONE)
    return added([norm for norm in each if norm != NONE], kind)


def _counted(executor: Executor) -> float:
    """Return how many parameters have a gradient that is not zero in some slice."""
    here = {
        part.name
        for (_, part), piece in executor.states.pieces.items()
        if piece.grad is not None and bool(piece.grad.any())
    }
    names = executor.states.layout.names
    return float(sum(max(executor.comm.everyone(float(name in here))) for name in names))


def added(norms: Sequence[float], kind: float) -> float:
    """Return the norm of what has these norms in its parts."""
    if not norms:
        return 0.0
    return float(torch.linalg.vector_norm(torch.tensor(norms, dtype=torch.float64), kind))
