"""Clips gradients that lie in slices by the norm of all of them, which no worker has alone."""

import math

import torch

from parallel.zero.executor import Executor


def clipped(executor: Executor, most: float, kind: float = 2.0) -> torch.Tensor:
    """Scale the gradients of the pieces here as torch's clip_grad_norm_ scales a whole net's.

    Args:
        executor: Of the workers here; all ranks have to ask together.
        most: The largest norm that there may be.
        kind: Which norm: 2.0, another power, or infinity.

    Returns:
        The norm before.
    """
    slices, comm = executor.states, executor.comm
    if executor.gradients.early is None:  # (no backward came here, but maybe to others)
        executor.gradients.flush()
    executor.gradients.forget_cleared()
    gradients = [p.grad for p in slices.pieces.values() if p.grad is not None]
    norms = [float(torch.linalg.vector_norm(g, kind, dtype=torch.float64)) for g in gradients]
    total = torch.tensor(added(comm.everyone(added(norms, kind)), kind), dtype=torch.float64)
    scale = torch.clamp(most / (total + 1e-6), max=1.0)
    for g in gradients:
        g.mul_(scale.to(g.device, g.dtype))
    return total.to(gradients[0]) if gradients else total


def added(norms: list[float], kind: float) -> float:
    """Return the norm of what has these norms in its parts."""
    if math.isinf(kind):
        return max(norms, default=0.0)
    return sum(norm**kind for norm in norms) ** (1 / kind)
