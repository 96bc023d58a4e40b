"""Carries the tasks of a step out, with NumPy, in as many threads as there are rows of tasks.

The net has layers of max(0, x W) and the loss |y - target|^2 / 2. Products and sums are counted
(primer.count); what is done to each number alone (max, masks, y - target) is not.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from threading import Event

import numpy as np

from primer.count import matmul, plus
from primer.depth.cuts import Graph, Task


class Carried:
    """A step on its way: outputs, gradients of outputs, and of weights.

    Args:
        weights: A matrix of inputs x outputs for each layer.
        x: The batch, a row for each sample.
        target: What the net should answer.
        blocks: Into how many blocks the batch is cut.
        cuts: Into how many cuts the outputs of each layer are.
    """

    def __init__(self, weights: Sequence[np.ndarray], x: np.ndarray, target: np.ndarray,
                 blocks: int = 1, cuts: int = 1):  # fmt: skip
        self.weights, self.target, self.blocks, self.cuts = weights, target, blocks, cuts
        self.y = [x] + [np.empty((len(x), w.shape[1]), x.dtype) for w in weights]
        self.dy = [np.empty_like(y) for y in self.y]
        self.gradients = [np.empty_like(w) for w in weights]
        self.said: dict[Task, np.ndarray] = {}  # what a block or a cut says of weights, of inputs

    def do(self, task: Task) -> None:
        """Do one task; what it needs has been done."""
        rows = _part(len(self.y[0]), task.block, self.blocks)
        columns = _part(self.weights[task.layer].shape[1], task.cut, self.cuts)
        {"F": self._f, "B": self._b, "R": self._r, "G": self._g}[task.op](task, rows, columns)

    def _f(self, task: Task, rows: slice, columns: slice) -> None:
        w = self.weights[task.layer][:, columns]
        self.y[task.layer + 1][rows, columns] = np.maximum(matmul(self.y[task.layer][rows], w), 0)

    def _b(self, task: Task, rows: slice, columns: slice) -> None:
        layer = task.layer
        y = self.y[layer + 1][rows, columns]
        last = layer == len(self.weights) - 1
        dy = y - self.target[rows, columns] if last else self.dy[layer + 1][rows, columns]
        dz = dy * (y > 0)
        dw = matmul(self.y[layer][rows].T, dz)
        if self.blocks == 1:
            self.gradients[layer][:, columns] = dw
        self.said[task._replace(op="G")] = dw
        if layer:
            dx = matmul(dz, self.weights[layer][:, columns].T)
            if self.cuts == 1:
                self.dy[layer][rows] = dx
            self.said[task._replace(op="R")] = dx

    def _r(self, task: Task, rows: slice, columns: slice) -> None:
        columns = _part(self.y[task.layer].shape[1], task.cut, self.cuts)
        every = [self.said[task._replace(cut=k)][:, columns] for k in range(self.cuts)]
        self.dy[task.layer][rows, columns] = reduce(plus, every)

    def _g(self, task: Task, rows: slice, columns: slice) -> None:
        own = _part(len(self.weights[task.layer]), task.block, self.blocks)
        every = [self.said[task._replace(block=k)][own] for k in range(self.blocks)]
        self.gradients[task.layer][own, columns] = reduce(plus, every)


def _part(size: int, k: int, of: int) -> slice:
    """Return the k-th of so many equal parts."""
    return slice(k * size // of, (k + 1) * size // of)


def perform(step: Carried, tasks: Graph, rows: Sequence[Sequence[Task]]) -> dict[Task, float]:
    """Do each row in a thread of its own; returns the seconds of each task."""
    done = {task: Event() for task in tasks}
    seconds: dict[Task, float] = {}

    def work(row: Sequence[Task]) -> None:
        for task in row:
            for need in tasks[task].needs:
                done[need].wait()
            begin = time.perf_counter()
            try:
                step.do(task)
            finally:  # (who waits for a task that failed would wait for ever)
                done[task].set()
            seconds[task] = time.perf_counter() - begin

    with ThreadPoolExecutor(len(rows)) as threads:
        for future in [threads.submit(work, row) for row in rows]:
            future.result()
    return seconds
