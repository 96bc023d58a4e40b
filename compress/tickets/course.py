"""Trains a level: all seeds at once, masks held, a row per seed and evaluation.

    course = Course(net, level, data, iterations=50_000, optimizer=lambda p: Adam(p, 1.2e-3))
    for rows in course:                        one row a seed every `every` iterations
        save(course.state_dict())              goes on from there, bit for bit
    level.weights                              is filled at the end

The test set is read only where some seed's validation loss is lower than ever before, and only that
seed's row says what was read: nothing else is ever reported of it. When training should have
stopped is found afterwards: `early_stop(rows)`.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from math import ceil, inf
from typing import Any

import torch
from torch import nn

from compress.pruning.apply import Masked
from compress.tickets.level import Level
from compress.tickets.side import Side
from harness.data import Data
from harness.names import kind_of
from harness.seeding import order, seeded
from harness.train.fit import evaluate, gradient_step, take

Maker = Callable[[Any], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], Any]


class Course:
    """A level in training.

    Args:
        net: What a member is like; it is copied.
        level: Where to start, and with which masks; gets weights and snapshots.
        data: With a validation set; of your own tensors,
            harness.data.Data.from_tensors(x, y, validation=(vx, vy)).
        iterations: At which training ends, counted from those of the dense nets.
        optimizer: Makes one of the parameters of the stack.
        batch_size: Samples a seed and iteration; the last batch of an epoch may be smaller.
        every: Evaluate after so many iterations, and at the end.
        keep: Iterations whose weights are kept, for rewinding (0 is the start).
        schedule: Makes a scheduler of the optimizer, which is stepped every iteration; where the
            level starts at a later one, so many steps of it are made first.
        sparse: Hold only what the masks leave (Sequential of Linear layers only).

    Raises:
        ValueError: no Data, or without a validation set; an optimizer in place of what makes one; a
            start after the end; an iteration to keep that is outside.
    """

    def __init__(
        self,
        net: nn.Module,
        level: Level,
        data: Data,
        *,
        iterations: int,
        optimizer: Maker,
        batch_size: int = 60,
        every: int = 100,
        keep: Sequence[int] = (),
        schedule: Schedule | None = None,
        sparse: bool = False,
    ):
        _check_kinds(data, optimizer)
        _check(level, data, iterations, keep)
        self.level, self.data, self.keep = level, data, tuple(keep)
        self.iterations, self.batch_size, self.every = iterations, batch_size, every
        self.iteration = level.step
        self.side = Side(net, level.start, level.masks, sparse)
        self.optimizer = optimizer(self.side.net.parameters())
        self.schedule = schedule(self.optimizer) if schedule else None
        masks = self.side.masks(level.masks)
        # (masks that keep everything would cost time and change nothing)
        if not all(mask.all() for mask in masks.values()):
            Masked(self.side.net, masks, self.optimizer)
        self.best = [inf] * len(level.seeds)
        self._skip()

    def _skip(self) -> None:
        if self.iteration == 0 and 0 in self.keep:
            self.level.snapshots[0] = self.level.start
        with warnings.catch_warnings():  # (no step of the optimizer was made yet: on purpose)
            warnings.filterwarnings("ignore", ".*lr_scheduler.step")
            for _ in range(self.iteration if self.schedule else 0):
                self.schedule.step()  # pyright: ignore

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """Train; yields a row per seed after each evaluation, from where the state stands."""
        while self.iteration < self.iterations:
            losses = self._stretch(min(self.iterations, self._next()))
            rows = self._rows(losses)
            if self.iteration == self.iterations:
                self.level.weights = self.side.weights()
            yield rows

    def _next(self) -> int:
        return (self.iteration // self.every + 1) * self.every

    def _stretch(self, end: int) -> torch.Tensor:
        """Train until this iteration; returns the losses (iterations, seeds)."""
        self.side.net.train()
        step, losses = gradient_step(self.side.net, self.optimizer), []
        with seeded(self.level.seeds[0], "noise", self.iteration):
            for index in self._batches(end):
                losses.append(step(take(self.data.train_x, index), take(self.data.train_y, index)))
                if self.schedule:
                    self.schedule.step()
                self.iteration += 1
                if self.iteration in self.keep:
                    self.level.snapshots[self.iteration] = self.side.weights()
        return torch.stack(losses).cpu()

    def _batches(self, end: int) -> Iterator[torch.Tensor]:
        """Yield the samples (seeds, batch) of each iteration until the end."""
        n = len(self.data.train_x)
        steps = ceil(n / self.batch_size)
        epoch, at = None, self.iteration
        orders = torch.empty(0)
        for k in range(at, end):
            if k // steps != epoch:
                epoch = k // steps
                orders = torch.stack([order(seed, epoch, n) for seed in self.level.seeds])
                orders = orders.to(self.data.train_x.device)
            begin = k % steps * self.batch_size
            yield orders[:, begin : begin + self.batch_size]

    def _rows(self, losses: torch.Tensor) -> list[dict[str, Any]]:
        data, members = self.data, len(self.best)
        valid = evaluate(self.side.net, data.validation_x, data.validation_y, members)  # pyright: ignore
        better = [i for i in range(members) if float(valid[0][i]) < self.best[i]]
        test = evaluate(self.side.net, data.test_x, data.test_y, members) if better else None
        rows = []
        for i in range(members):
            row = {
                "iteration": self.iteration,
                "train_loss": float(losses[:, i].double().mean()),
                "validation_loss": float(valid[0][i]),
                "validation_accuracy": float(valid[1][i]),
            }
            if test and i in better:
                self.best[i] = row["validation_loss"]
                row |= {"test_loss": float(test[0][i]), "test_accuracy": float(test[1][i])}
            rows.append(row)
        return rows

    def fit(self) -> list[list[dict[str, Any]]]:
        """Train to the end, from where the state stands; returns the rows of each seed."""
        return [list(rows) for rows in zip(*self, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state after the last evaluation: tensors and plain values."""
        parts = {"net": self.side.net, "optimizer": self.optimizer, "schedule": self.schedule}
        state: dict[str, Any] = {k: p.state_dict() for k, p in parts.items() if p is not None}
        state |= {"iteration": self.iteration, "best": self.best}
        return copy.deepcopy(state | {"snapshots": self.level.snapshots})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        state = copy.deepcopy(state)
        self.side.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.iteration, self.best = state["iteration"], state["best"]
        self.level.snapshots = state["snapshots"]
        if self.iteration == self.iterations:
            self.level.weights = self.side.weights()


def early_stop(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the least validation loss of one seed, the first of equal ones.

    Its iteration is when training should have stopped, and its test accuracy is the ticket's.

    Raises:
        ValueError: no row whose validation loss is a number; the rows of several seeds.
    """
    if any(not isinstance(row, dict) for row in rows):
        raise ValueError("the rows of one seed: [early_stop(rows) for rows in course.fit()]")
    found = [row for row in rows if row["validation_loss"] == row["validation_loss"]]
    if not found:
        raise ValueError("no row has a validation loss that is a number: this seed has diverged")
    return min(found, key=lambda row: row["validation_loss"])


def _check_kinds(data: Any, optimizer: Any) -> None:
    if not isinstance(data, Data):
        raise ValueError(
            f"data is a harness.data.Data, got {kind_of(data)}: of your own tensors, "
            "Data.from_tensors(x, y, validation=(vx, vy)) is one"
        )
    if not callable(optimizer):
        raise ValueError(
            f"optimizer makes one of the parameters of all seeds, got {kind_of(optimizer)}: "
            "optimizer=lambda params: torch.optim.Adam(params, 1.2e-3)"
        )


def _check(level: Level, data: Data, iterations: int, keep: Sequence[int]) -> None:
    if data.validation_x is None or data.validation_y is None:
        raise ValueError("early stopping is found on a validation set, and these data have none")
    if not 0 <= level.step < iterations:
        raise ValueError(f"training starts at {level.step} and would end at {iterations}")
    wrong = [k for k in keep if not level.step <= k <= iterations]
    if wrong:
        raise ValueError(f"keep={wrong[0]} is not among iterations {level.step} to {iterations}")
