"""Trains the levels of iterative pruning, all seeds side by side; a row for each level."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from compress.plans.tickets import Tickets
from compress.runs.passes import Told
from compress.tickets.branches import WAYS, branch, following
from compress.tickets.course import Course, early_stop
from compress.tickets.level import Level, dense
from harness.data import Data
from harness.seeding import derive, seeded

AGAIN = 1_000_003  # what sets the seeds of new starts apart from those of first ones


class Run:
    """All seeds of a config; `state_dict` holds them between two levels.

    Args:
        config: The net, and its levels.
        data: What it learns, with a validation part.
        seeds: Of starts and orders.
    """

    def __init__(self, config: Tickets, data: Data, seeds: Sequence[int]):
        self.config, self.data, self.seeds = config, data, list(seeds)
        self.net = build(config, data, self.seeds[0])
        self.level: Level | None = None

    def rows(self, number: int, tell: Told) -> list[dict[str, Any]]:
        """Train the next level, and its controls; returns a row for each seed."""
        level = self._next()
        ways = WAYS if number in self.config.controls else ()
        share = 1 / (1 + len(ways))
        found = self._train(level, lambda done: tell(share * done))
        rows = [_row(number, level) | one for one in found]
        for k, how in enumerate(ways, 1):
            other = branch(level, how, self._fresh(number), seed=number)
            part = partial(_part, tell, share, k)
            found = self._train(other, part)
            rows = [row | {how: one} for row, one in zip(rows, found, strict=True)]
        self.level = level
        return rows

    def _next(self) -> Level:
        if self.level is None:
            nets = [build(self.config, self.data, seed) for seed in self.seeds]
            return dense(nets, self.seeds)
        shares: Any = dict(rate=self.config.rate, output=self.config.output)
        return following(self.level, self.config.rewind, **shares)

    def _fresh(self, number: int) -> list[nn.Module]:
        again = [derive(seed, "init", AGAIN, number) for seed in self.seeds]
        return [build(self.config, self.data, seed) for seed in again]

    def _train(self, level: Level, tell: Told) -> list[dict[str, Any]]:
        """Train a level; returns what each seed reaches when it should have stopped."""
        c = self.config
        course = Course(
            self.net,
            level,
            self.data,
            iterations=c.iterations,
            optimizer=lambda p: torch.optim.Adam(p, c.lr),
            batch_size=c.batch_size,
            every=c.every,
            keep=(c.rewind,) if not level.number else (),
            sparse=level.remaining <= c.sparse,
        )
        told: list[list[dict[str, Any]]] = []
        for rows in course:
            told.append(rows)
            tell(course.iteration / c.iterations)
        return [_stopped(seed) for seed in zip(*told, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {"level": None if self.level is None else vars(self.level)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.level = None if state["level"] is None else Level(**state["level"])


def _row(number: int, level: Level) -> dict[str, Any]:
    return {"epoch": number + 1, "remaining": float(f"{level.remaining:.6g}")}


def _part(tell: Told, share: float, number: int, done: float) -> None:
    tell(share * (number + done))


def _stopped(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    try:
        stop = early_stop(rows)
    except ValueError as error:
        return {"failed": str(error)}
    return {
        "stop": stop["iteration"],
        "validation_loss": float(f"{stop['validation_loss']:.6g}"),
        "test_accuracy": stop["test_accuracy"],
        "train_loss": float(f"{rows[-1]['train_loss']:.6g}"),
    }


def build(config: Tickets, data: Data, seed: int) -> nn.Sequential:
    """Return the net with Glorot's normal start, and biases of 0."""
    widths = (data.shape[0], *config.hidden, data.classes)
    layers: list[nn.Module] = []
    with seeded(seed, "init"):
        for a, b in pairwise(widths):
            layer = nn.Linear(a, b)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(data.train_x.device)


def shaped(config: Tickets, data: Data) -> Data:
    """Return the data as the net reads it, with a validation part."""
    return data.amounts().validate(config.validation).flatten()
