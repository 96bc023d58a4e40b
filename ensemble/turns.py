"""Times of several nets in turn, so that a busy minute of the machine falls on all of them.

CPU time, which does not grow while another process has the core, and wall time beside it. Of one
thread they are the same on a quiet machine; of several, CPU time is their sum.
"""

import time
from collections.abc import Callable, Mapping
from statistics import fmean, median
from typing import Any

import torch

WARM = 2  # calls that are not timed: they build tables and choose ways
Sides = Mapping[str, Callable[[torch.Tensor], Any]]


@torch.inference_mode()
def turns(sides: Sides, x: torch.Tensor, batch: int, calls: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of a call: the mean of CPU time, the median of wall time.

    Args:
        sides: What is called, by name, with batches of x in turn.
        x: Samples.
        batch: Of a call; all of x where it has fewer.
        calls: Calls of each side at most.
    """
    size = min(batch, len(x))
    parts = [part for part in x.split(size) if len(part) == size][:calls]
    for part in parts[:WARM]:
        for call in sides.values():
            call(part)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for part in parts:
        for name, call in sides.items():
            begin = time.process_time(), time.perf_counter()
            call(part)
            end = time.process_time(), time.perf_counter()
            found[name].append((1e3 * (end[0] - begin[0]), 1e3 * (end[1] - begin[1])))
    return {
        name: {"cpu": fmean(cpu for cpu, _ in told), "wall": median(wall for _, wall in told)}
        for name, told in found.items()
    }
