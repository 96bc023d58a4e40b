"""Ensembles of several seeds that grow side by side, a member of each at a time.

    growth = Growth(build, data, seeds, settings)
    for rows in growth.grow():        a row for each seed (None for one whose boosting has ended)
        ...

What an ensemble of m members answers is what its first m answer, so one growth tells all sizes. A
net that is trained on as long as m members (single, snapshots) grows likewise.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ensemble.account import row
from ensemble.boosting.course import Course
from ensemble.fit.bagging import bootstrap
from ensemble.fit.group import Group, Task
from ensemble.fit.samples import member_seed
from ensemble.fit.stacking import Stacked
from ensemble.plans.config import Config
from harness.data import Data

CHUNK = 500  # samples that are answered at a time
PARTS = ("test", "validation")
Build = Callable[[int], nn.Module]  # from a member's seed


class Growth:
    """The ensembles; `state_dict` holds them between two members."""

    def __init__(self, build: Build, data: Data, seeds: Sequence[int], config: Config):
        self.build, self.data, self.seeds, self.config = build, data, list(seeds), config
        self.targets = {part: getattr(data, f"{part}_y") for part in PARTS}
        n, classes = len(data.train_y), data.classes
        self.courses = [
            Course(np.ones(n), classes, config.members, config.method, config.shrinkage)
            for _ in (seeds if config.boosted else ())
        ]
        self.logp: dict[str, list[torch.Tensor]] = {part: [] for part in PARTS}
        self.group: Group | None = None if config.grows else self._group([0] * len(seeds))

    @property
    def done(self) -> int:
        """Members so far."""
        return len(self.logp["test"])

    def member(self, told: Callable[[float], None]) -> list[dict[str, Any] | None]:
        """Train the next member of each seed; returns the rows."""
        m, begin = self.done, time.process_time()
        ended = [bool(course.ended) for course in self.courses] or [False] * len(self.seeds)
        group = self.group or self._group([m] * len(self.seeds))
        for k in range(self.config.each):
            group.run()
            told((k + 1) / self.config.each)
        spent = (time.process_time() - begin) / len(self.seeds)
        for part in PARTS:
            self.logp[part].append(answers(group.net, getattr(self.data, f"{part}_x")))
        if self.courses:
            self._boost(answers(group.net, self.data.train_x).argmax(-1), ended)
        return [
            None if over else self._row(i, m) | {"train_time": spent}
            for i, over in enumerate(ended)
        ]

    def _group(self, members: list[int]) -> Group:
        """The nets of these members, a stack of one for each seed."""
        config, y = self.config, self.data.train_y
        seeds = [member_seed(s, m) for s, m in zip(self.seeds, members, strict=True)]
        whole = config.each * (1 if config.grows else config.members)
        task = Task(self.data.train_x, y, whole, config.batch_size, self._sgd, self._schedule())
        given: dict[str, Any] = {}
        if config.method == "bagging":
            even = torch.ones(len(y))
            given["index"] = torch.stack([bootstrap(y.cpu(), even, s)[0] for s in seeds])
        if self.courses:
            scaled = [torch.from_numpy(c.begin() * len(y)) for c in self.courses]
            given["weights"] = torch.stack(scaled)
        return Group(Stacked([self.build(s) for s in seeds]), seeds, task, **given)

    def _sgd(self, parameters: Any) -> torch.optim.Optimizer:
        lr, momentum = self.config.lr, self.config.momentum
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)

    def _schedule(self) -> Any:
        if self.config.method != "snapshots":
            return None
        steps = self.config.each * math.ceil(len(self.data.train_y) / self.config.batch_size)
        return lambda sgd, _: torch.optim.lr_scheduler.LambdaLR(sgd, partial(falling, steps))

    def _boost(self, chosen: torch.Tensor, ended: list[bool]) -> None:
        wrong = (chosen != self.data.train_y).cpu().numpy()
        for course, mistakes, over in zip(self.courses, wrong, ended, strict=True):
            if not over:
                course.end(mistakes)

    def _row(self, seed: int, m: int) -> dict[str, Any]:
        alone = self.config.method == "single"
        logp = {
            part: torch.stack([one[seed] for one in found[m if alone else 0 :]])
            for part, found in self.logp.items()
        }
        course = self.courses[seed] if self.courses else None
        return {"epoch": m + 1} | row(logp, self.targets, course)

    def state_dict(self) -> dict[str, Any]:
        """To go on bitwise."""
        courses = [course.state_dict() for course in self.courses]
        group = self.group.state_dict() if self.group else None
        return {"courses": courses, "group": group, "logp": self.logp}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.logp = state["logp"]
        for course, saved in zip(self.courses, state["courses"], strict=True):
            course.load_state_dict(saved)
        if self.group:
            self.group.load_state_dict(state["group"])


def falling(steps: int, step: int) -> float:
    """The rate of a cosine cycle of so many steps, as a share of its first."""
    return (1 + math.cos(math.pi * (step % steps) / steps)) / 2


@torch.no_grad()
def answers(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of a stack (members, samples, classes), float64, on the CPU."""
    members = len(next(net.parameters()))
    net.eval()
    parts = [net(part.expand(members, *part.shape)).double().cpu() for part in x.split(CHUNK)]
    net.train()
    return torch.log_softmax(torch.cat(parts, 1), -1)
