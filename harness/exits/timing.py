"""Times early exits: p50 and p99 of calls, with all thresholds and the full net in turn.

Every side sees the same samples in the same order, round by round, so that a busy minute of the
machine falls on all of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from harness.cost import synchronize
from harness.exits.exits import EarlyExit

Sides = Mapping[str, Callable[[torch.Tensor], Any]]


@torch.inference_mode()
def race(sides: Sides, x: torch.Tensor, batch: int, calls: int) -> dict[str, dict[str, float]]:
    """Measure the milliseconds of each side's calls over the first batches of x.

    Raises:
        ValueError: x is too short for one batch.
    """
    parts = [part for part in x.split(batch) if len(part) == batch][:calls]
    if not parts:
        raise ValueError(f"{len(x)} samples make no batch of {batch} to be timed")
    for call in sides.values():  # builds tables, wakes threads
        for part in parts[:2]:
            call(part)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for part in parts:
        for name, call in sides.items():
            synchronize(x.device)
            begin = time.perf_counter()
            call(part)
            synchronize(x.device)
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: percentiles(found) for name, found in times.items()}


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and the mean of some times."""
    p50, p99 = np.percentile(times, (50, 99))
    return {"p50": float(p50), "p99": float(p99), "mean": float(np.mean(times))}


def measure(
    model: EarlyExit, x: torch.Tensor, batch: int, calls: int, thresholds: Sequence[Any]
) -> list[dict[str, Any]]:
    """Time the full net, all exits without leaving, and leaving early under each of `thresholds`.

    Args:
        model: A net with exits; it is put into eval mode.
        x: Inputs, at least one batch of them.
        batch: Samples of a call.
        calls: Calls of each side at most.
        thresholds: The settings to time, each as `early` takes it.
    """
    model.eval()
    sides: dict[str, Callable[[torch.Tensor], Any]] = {
        "full net": model,
        "all exits, nobody leaves": model.forward_exits,
    }
    for bound in thresholds:
        sides[str(bound)] = _early(model, bound)
    found = race(sides, x, batch, calls)
    return [{"name": name, "batch": batch, **found[name]} for name in sides]


def _early(model: EarlyExit, bound: Any) -> Callable[[torch.Tensor], Any]:
    return lambda part: model.early(part, bound)
