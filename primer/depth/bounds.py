"""Work, depth, and how long p workers take: Brent's bounds, and two clocks.

    W = all work          D = the longest chain of tasks that wait for each other

    max(W / p, D)  <=  T_p  <=  D + (W - D) / p

The first holds for any p workers, the second for those of whom nobody waits while a task is ready
(`greedy`). Workers who do what they were told, in its order, may take longer (`pinned`).
"""

import heapq
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from primer.depth.cuts import Graph, Node, Step, Task


def work(tasks: Graph) -> Any:
    """Return the sum over all tasks."""
    return sum(node.work for node in tasks.values())


def depth(tasks: Graph) -> Any:
    """Return the longest chain, by its work."""
    end: dict[Task, Any] = {}
    for task, node in tasks.items():
        end[task] = node.work + max((end[need] for need in node.needs), default=0)
    return max(end.values())


def brent(work: Any, depth: Any, p: int) -> tuple[Any, Any]:
    """Return the least and the most time of p workers, exactly where work is whole."""
    share = Fraction(1, p) if isinstance(work, int) else 1 / p
    return max(work * share, depth), depth + (work - depth) * share


def greedy(tasks: Graph, p: int) -> Any:
    """Return the time of p workers who take whatever is ready, in the order of the graph."""
    number = {task: i for i, task in enumerate(tasks)}
    waits = {task: len(node.needs) for task, node in tasks.items()}
    after: dict[Task, list[Task]] = {task: [] for task in tasks}
    for task, node in tasks.items():
        for need in node.needs:
            after[need].append(task)
    ready = [(number[task], task) for task, n in waits.items() if not n]
    heapq.heapify(ready)
    busy: list[tuple[Any, int, Task]] = []
    now: Any = 0
    while ready or busy:
        while ready and len(busy) < p:
            i, task = heapq.heappop(ready)
            heapq.heappush(busy, (now + tasks[task].work, i, task))
        now = busy[0][0]
        while busy and busy[0][0] == now:
            for task in after[heapq.heappop(busy)[2]]:
                waits[task] -= 1
                if not waits[task]:
                    heapq.heappush(ready, (number[task], task))
    return now


def pinned(tasks: Graph, rows: Sequence[Sequence[Task]]) -> Any:
    """Return the time of workers who each do a row of tasks, in its order."""
    end: dict[Task, Any] = {}
    at, free = [0] * len(rows), [0] * len(rows)
    while len(end) < len(tasks):
        before = len(end)
        for r, row in enumerate(rows):
            while at[r] < len(row) and all(need in end for need in tasks[row[at[r]]].needs):
                task = row[at[r]]
                begin = max([free[r], *(end[need] for need in tasks[task].needs)])
                end[task] = free[r] = begin + tasks[task].work
                at[r] += 1
        assert len(end) > before, "rows whose tasks wait for each other"
    return max(end.values())


def works(step: Step, blocks: int = 1, cuts: int = 1) -> int:
    """Return W by its formula: three products a layer, two in the first; and the sums."""
    products = step.batch * (3 * sum(step.macs) - step.macs[0])
    sums = (cuts - 1) * step.batch * sum(step.inputs[1:])
    return products + sums + (blocks - 1) * sum(step.weights)


def depths(step: Step, blocks: int = 1, cuts: int = 1) -> int:
    """Return D by its formula: a block of a cut there and back, and the last sum of weights."""
    rows, found = step.batch // blocks, []
    chain = rows * sum(step.macs) // cuts
    for layer in range(len(step.macs) - 1, -1, -1):
        chain += rows * step.macs[layer] // cuts * (2 if layer else 1)
        found.append(chain + (blocks - 1) * step.weights[layer] // (blocks * cuts))
        chain += (cuts - 1) * rows * step.inputs[layer] // cuts
    return max(found)


def timed(tasks: Graph, seconds: dict[Task, float]) -> Graph:
    """Return the same tasks with measured times."""
    return {task: Node(seconds[task], node.needs) for task, node in tasks.items()}
