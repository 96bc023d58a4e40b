"""What ways take between processes: bytes by the Wire's counter, seconds, and a line through them.

Tasks for `parallel.world.run.run(World.procs(n), task, ...)`; rank 0 tells what all have counted.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from parallel.world.comm import Comm
from primer.allreduce.carried import Rows, all_reduce
from primer.allreduce.fusion import reduce_all
from primer.allreduce.ways import WAYS


def drawn(comm: Comm, size: int) -> Rows:
    """Return whole numbers for each worker here, so that sums are exact in any order."""
    return {i: (torch.arange(size) * (i + 3) % 17 - 8.0) for i in comm.ranks}


def total(workers: int, size: int) -> torch.Tensor:
    """Return the sum over all workers, computed by one."""
    return sum(drawn(Comm(workers), size).values(), torch.zeros(size))


def checked(comm: Comm, size: int) -> Iterator[dict[str, Any]]:
    """Yield, for each way, whether all workers have the sum, and what each rank here has sent."""
    for way in WAYS:
        before = comm.sent
        sums = all_reduce(way, comm, drawn(comm, size))
        sent = comm.sent - before
        right = all(torch.equal(s, total(comm.workers, size)) for s in sums.values())
        yield {
            "way": way,
            "right": min(comm.everyone(float(right))) == 1,
            "sent": comm.everyone(sent),
        }


def task(comm: Comm, size: int, sizes: Sequence[int], repeats: int) -> Iterator[dict[str, Any]]:
    """Yield what is checked with one size, then what is timed with others."""
    yield from checked(comm, size)
    yield from timed(comm, sizes, repeats)


def timed(comm: Comm, sizes: Sequence[int], repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the least seconds of a sum, for each way and size; a turn of all, then the next."""
    pairs = [(way, size, drawn(comm, size)) for size in sizes for way in WAYS]
    least = _least(comm, [lambda p=p: all_reduce(p[0], comm, p[2]) for p in pairs], repeats)
    for (way, size, _), seconds in zip(pairs, least, strict=True):
        yield {"way": way, "size": size, "seconds": seconds}


def fused(
    comm: Comm, way: str, sizes: Sequence[int], limits: Sequence[int], repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield the least seconds and the bytes of the sums of many tensors, for each limit."""
    tensors = [drawn(comm, size) for size in sizes]
    calls = [lambda limit=limit: reduce_all(way, comm, tensors, limit) for limit in limits]
    least = _least(comm, calls, repeats)
    for limit, call, seconds in zip(limits, calls, least, strict=True):
        before = comm.sent
        call()
        sent = sum(comm.everyone(comm.sent - before))
        yield {"limit": limit, "seconds": seconds, "sent": sent}


def _least(comm: Comm, calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the least time of each call, from a common start to the end of the slowest."""
    least = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            comm.everyone(0.0)
            begin = time.perf_counter()
            call()
            least[i] = min(least[i], max(comm.everyone(time.perf_counter() - begin)))
    return least


def line(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return alpha and beta of (messages, bytes, seconds): least squares of the relative errors."""
    table = np.array([[m / t, b / t] for m, b, t in points])
    alpha, beta = np.linalg.lstsq(table, np.ones(len(points)), rcond=None)[0]
    return float(alpha), float(beta)
