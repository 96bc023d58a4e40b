"""Trains the levels of iterative pruning, all seeds side by side; a row for each level.

A row holds what the first chain of levels reaches; further ones (other steps to go back to) and the
controls are in it by name:

    {"epoch": 3, "remaining": .64, "stop": 4100, ..., "step-500": {...}, "new": {...}}
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from compress.plans.levels import Tickets
from compress.runs.passes import Told
from compress.tickets.branches import WAYS, branch, following
from compress.tickets.course import Course, early_stop
from compress.tickets.level import Level, dense
from harness.data import Data
from harness.data.pictures import images
from harness.nets.convs import convs
from harness.nets.resnet20 import resnet20
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
        self.levels: dict[int, Level] = {}  # the last ones trained, by the step to go back to

    def rows(self, number: int, tell: Told) -> list[dict[str, Any]]:
        """Train the next level of each chain, and controls; returns a row for each seed."""
        first, *others = self.config.steps
        level = self._next(first)
        chains = {f"step-{step}": self._next(step) for step in (others if self.levels else ())}
        ways = WAYS if number in self.config.controls else ()
        more = chains | {way: branch(level, way, self._fresh(number), seed=number) for way in ways}
        share = 1 / (1 + len(more))
        found = self._train(level, lambda done: tell(share * done))
        rows = [_row(number, level) | one for one in found]
        for k, (name, other) in enumerate(more.items(), 1):
            found = self._train(other, partial(_part, tell, share, k))
            rows = [row | {name: one} for row, one in zip(rows, found, strict=True)]
        last = [level, *(chains.values() if chains else [level] * len(others))]
        self.levels = dict(zip(self.config.steps, last, strict=True))
        return rows

    def _next(self, step: int) -> Level:
        """Return the next level of a chain; all begin with the same dense nets."""
        if not self.levels:
            nets = [build(self.config, self.data, seed) for seed in self.seeds]
            return dense(nets, self.seeds)
        c, before = self.config, self.levels[step]
        if c.scope == "global":
            return following(before, step, rate=c.rate, scope="global")
        rate = {n: c.convolutions if m.ndim > 3 else c.rate for n, m in before.masks.items()}
        return following(before, step, rate=rate, output=c.output)

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
            optimizer=partial(optimizer_of, c),
            batch_size=c.batch_size,
            every=c.every,
            keep=c.steps if not level.number else (),
            schedule=partial(_falling, c.iterations) if c.optimizer == "sgd" else None,
            sparse=c.net == "mlp" and level.remaining <= c.sparse,
        )
        told: list[list[dict[str, Any]]] = []
        for rows in course:
            told.append(rows)
            tell(course.iteration / c.iterations)
        return [_stopped(seed) for seed in zip(*told, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {"levels": {step: vars(level) for step, level in self.levels.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.levels = {step: Level(**level) for step, level in state["levels"].items()}


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


def optimizer_of(config: Tickets, params: Any) -> torch.optim.Optimizer:
    """Return the optimizer of a config."""
    if config.optimizer == "adam":  # (fused: one way through the memory where there are twelve)
        return torch.optim.Adam(params, config.lr, fused=True)
    more: Any = dict(momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.SGD(params, config.lr, **more)


def _falling(iterations: int, optimizer: torch.optim.Optimizer) -> Any:
    """Return a schedule that makes the rate a tenth after half and three quarters of the steps."""
    at = [iterations // 2, 3 * iterations // 4]
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, at, 0.1)


def build(config: Tickets, data: Data, seed: int) -> nn.Module:
    """Return the net with this seed's start."""
    if config.net == "mlp":
        return _mlp((data.shape[0], *config.hidden, data.classes), seed).to(data.train_x.device)
    shape: Any = data.shape
    if config.net == "conv_2":
        net = convs(2, shape, data.classes, config.width, seed)
    else:
        net = resnet20(config.width, data.classes, shape[0], seed)
    # (on a CPU such convolutions train a third faster in this layout)
    return net.to(data.train_x.device, memory_format=torch.channels_last)  # pyright: ignore


def _mlp(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    """Return linear layers with Glorot's normal start, and biases of 0."""
    layers: list[nn.Module] = []
    with seeded(seed, "init"):
        for a, b in pairwise(widths):
            layer = nn.Linear(a, b)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def shaped(config: Tickets, data: Data) -> Data:
    """Return the data as the net reads it, with a validation part."""
    data = data.amounts().validate(config.validation)
    if config.net == "mlp":
        return data.flatten()
    data = data.images()
    return data.map(partial(images, data=data, layout=torch.contiguous_format))
