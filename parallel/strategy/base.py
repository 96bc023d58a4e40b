"""What a strategy is: a small object that says who sends what in a step, and how it is mixed.

    init(workers)          check, and build what it keeps
    plan(seed, step)       what is sent in this step (parallel.world.ops), the same on every rank
    rows(ops)              row i: how worker i mixes the states, {worker: weight}
    local(optimizer)       the local step
    mix(executor, ops, when)   "before" or "after" the local step; by default from `rows`
    theory(size, steps)    bytes that a worker sends in so many steps, on average, if a state has
                           `size` bytes

Most define plan, rows and theory. Steps count from 1. What is averaged is an option of all:
"params", "float_buffers" (running statistics), "optimizer_state" (momentum); never counters.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.names import check
from harness.seeding import derive
from parallel.world.ops import CENTRE, NOTHING, AllReduce, Op, Round

if TYPE_CHECKING:
    from torch import nn

    from parallel.replicas.executor import Executor
    from parallel.world.comm import Comm

AVERAGED = ("params", "float_buffers", "optimizer_state")
Rows = dict[int, dict[int, float]]


@dataclass
class Strategy:
    """Workers that never talk; the base of the others.

    Args:
        average: What is mixed: any of AVERAGED.
        weighted: Count a worker in an all-reduce by its samples since the last one.
    """

    average: tuple[str, ...] = ("params",)
    weighted: bool = True

    workers = 0
    whole: Any = None  # the full model, where workers have less than that
    same_start = True  # all begin with the weights of worker 0
    elastic = True  # can go on without a worker that died
    alike = True  # workers hold tensors of the same sizes
    sends = "state"  # or "gradients": whose size counts in theory
    centre = False  # whether there is an extra worker, CENTRE

    def init(self, workers: int) -> None:
        """Called once, before all else."""
        self.average = (self.average,) if isinstance(self.average, str) else tuple(self.average)
        for what in self.average:
            check("part to average", what, AVERAGED)
        self.workers = workers

    def cut(self, models: list["nn.Module"], comm: "Comm", seed: int) -> list["nn.Module"]:
        """What the workers here train, made from their full models."""
        return models

    def accept(self, optimizer: Any) -> None:
        """Refuse an optimizer that does not fit.

        Raises:
            ValueError: one that looks at the loss several times in a step.
        """
        closure = inspect.signature(type(optimizer).step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            raise ValueError(
                f"{type(optimizer).__name__} needs a closure: between its looks at the loss nobody "
                "could talk. Take one that steps once, such as SGD or Adam"
            )

    def plan(self, seed: int, step: int) -> Round:
        """What is sent in this step."""
        return NOTHING

    def rows(self, ops: Sequence[Op]) -> Rows:
        """Of each worker that changes: how much of whom it is then made of."""
        raise NotImplementedError(f"{type(self).__name__} plans messages: it needs `rows`")

    def local(self, optimizer: Any) -> None:
        """The local step of all workers that are here."""
        optimizer.step()

    def mix(self, executor: "Executor", ops: Sequence[Op], when: str) -> None:
        """Do what the plan says; messages before the step act on the weights after it.

        w_i <- w_i + u_i + sum_k (A - I)_ik w_k, with w as before the step, u_i the local step and
        A the weights: the rule of elastic gossip, and of all that read before they step.
        """
        if when == "after" and executor.shift is not None:
            executor.add(executor.shift)
            executor.shift = None
        if AllReduce("gradients") in ops:
            executor.average_gradients()
        elif AllReduce("state") in ops:
            executor.average_state()
        elif ops:
            rows = {i: {**row, i: row.get(i, 0.0) - 1} for i, row in self.rows(ops).items()}
            shift = executor.combine(ops, rows)
            if when == "before":
                executor.shift = shift
            else:
                executor.add(shift)

    def consensus(self, executor: "Executor") -> dict[str, Any]:
        """State dict of the full model that stands for all."""
        return executor.mean()

    def load(self, executor: "Executor", state: dict[str, Any]) -> None:
        """Begin anew from a full model's state, on all workers."""
        executor.load_all(state)

    def distance(self, executor: "Executor") -> float | None:
        """How far the workers are from their mean."""
        return executor.distance()

    def move(self, fn: Any) -> None:
        """Apply to the tensors that it keeps (`.to()` of the wrapper)."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside nets and optimizers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""

    def theory(self, size: float, steps: int = 1) -> float:
        """Bytes per worker, on average."""
        return 0.0

    def notes(self) -> list[str]:
        """What a user should hear at the end of a run."""
        return []

    @property
    def share(self) -> float:
        """(n - 1) / n."""
        return (self.workers - 1) / self.workers


def every(name: str, period: int) -> int:
    """A period, checked."""
    if not isinstance(period, int) or period < 1:
        raise ValueError(f"{name} is a number of steps, 1 or more, got {period}")
    return period


def share(name: str, value: float) -> float:
    """A number in (0, 1], checked."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {value}")
    return value


def random(seed: int, *keys: int) -> np.random.Generator:
    """Random numbers that every rank draws alike."""
    return np.random.Generator(np.random.PCG64(derive(seed, "peers", *keys)))


__all__ = ["AVERAGED", "CENTRE", "Rows", "Strategy", "every", "random", "share"]
