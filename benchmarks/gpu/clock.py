"""Times of calls: medians by CUDA events of replayed graphs, so that no launch is waited for."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

ROUNDS, MOST, ROOM = 5, 20, 10.0  # replays; calls in a graph, and the ms that they may take
_loops: list[str] = []  # why calls were timed as loops, since somebody asked


def timed(call: Callable[[int], Any], device: str) -> float:
    """Milliseconds of call(i), where i is counted up so that inputs can take turns."""
    if device == "cpu":
        return 1e3 * median(by_clock(call, i) for i in range(ROUNDS))
    call(0)
    once = events(lambda: call(1), 1)
    count = max(1, min(MOST, int(ROOM / max(once, 1e-3))))
    again = repeated(call, count)
    again()
    return round(median(events(again, count) for _ in range(ROUNDS)), 5)


def by_clock(call: Callable[[int], Any], i: int) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call(i)
    return time.perf_counter() - begin


def repeated(call: Callable[[int], Any], count: int) -> Callable[[], Any]:
    """So many calls as a graph; as a loop where they cannot be captured."""

    def loop():
        for i in range(count):
            call(i)

    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            loop()
    except Exception as error:
        _loops.append(f"{type(error).__name__}: {str(error)[:200]}")
        torch.cuda.synchronize()
        return loop
    return graph.replay


def loops() -> list[str]:
    """Why calls were timed as loops since the last time: their times hold launches too."""
    found = [*_loops]
    _loops.clear()
    return found


def events(call: Callable[[], Any], count: int) -> float:
    """Milliseconds of a call, shared out among so many."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    call()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / count
