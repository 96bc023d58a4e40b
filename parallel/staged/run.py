"""Trains one config of the pipeline studies: seeds alone, or all at once where the net allows it.

A training whose numbers are no longer finite is no failure here but the answer: the rest of its
rows have no losses, and the accuracy of guessing. Numbers are rounded to what is shown, because a
study of staleness has thousands of runs.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F

from harness import cost
from harness.job import Job
from parallel.pipeline.formulas import bubble
from parallel.plans.staged import Staged
from parallel.staged import setting
from parallel.staged.nets import build
from parallel.training.facts import expected_versions
from parallel.training.pipelined import Pipelined
from parallel.training.seeds import Seeds
from parallel.world.comm import Comm, NotFinite

DIGITS = 4
LOST: dict[str, Any] = {"train_loss": math.nan, "test_loss": math.nan}


class Until:
    """A training, until it is lost."""

    def __init__(self, training: Pipelined):
        self.training, self.lost = training, False

    def epoch(self, job: Job) -> dict[str, Any]:
        """Train for an epoch; returns its row, that of `LOST` once numbers are not finite."""
        if not self.lost:
            try:
                steps(self.training, job)
                row = self.training.row()
                if math.isfinite(row["train_loss"] + row["test_loss"]):
                    return row
            except NotFinite:
                pass
            self.lost = True
        return LOST

    def state_dict(self) -> dict[str, Any]:
        """To go on bitwise; of a lost training nothing is left."""
        return {"lost": self.lost, "training": None if self.lost else self.training.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.lost = state["lost"]
        if not self.lost:
            self.training.load_state_dict(state["training"])


def steps(training: Pipelined, job: Job) -> None:
    """An epoch."""
    count = training.shards.steps
    for k in range(count):
        training.step()
        job.progress = (k + 1) / count


def opened(config: Staged, seed: int, job: Job) -> Pipelined:
    """One seed, ready to train."""
    data = setting.read(config, job)
    net = build(config, data, seed).to(job.device)
    updates = config.epochs * math.ceil(len(data.train_y) / config.batch_size)
    way = setting.pipeline(config, net, updates)
    return Pipelined(
        net,
        data,
        F.cross_entropy,
        setting.optimizer(config),
        way,
        Comm(way.ranks),
        batch_size=config.batch_size,
        seed=seed,
        steps=updates,
        resumable=True,
    )


def opened_stack(config: Staged, seeds: Sequence[int], job: Job) -> Seeds:
    """All seeds of an mlp, ready to train at once."""
    data = setting.read(config, job)
    nets = [build(config, data, seed).to(job.device) for seed in seeds]
    updates = config.epochs * math.ceil(len(data.train_y) / config.batch_size)
    way = setting.pipeline(config, nets[0], updates)
    named = dict(batch_size=config.batch_size, seeds=seeds, steps=updates)
    return Seeds(nets, data, setting.optimizer(config), way, **named)  # pyright: ignore


def train(config: Staged, seed: int, job: Job) -> Iterator[dict[str, Any]]:
    """Train one seed; yields one row per epoch."""
    run = Until(opened(config, seed, job))
    tell = partial(told, classes=run.training.data.classes)
    for epoch in range(job.attach(run=run), config.epochs):
        row = run.epoch(job)
        yield tell(epoch, row) | {"train_time": row.get("train_time")}


def train_stack(config: Staged, seeds: Sequence[int], job: Job) -> Iterator[list[dict[str, Any]]]:
    """Train seeds as one stack; yields a row for each per epoch."""
    training = opened_stack(config, seeds, job)
    for epoch in range(job.attach(net=training), config.epochs):
        steps(training, job)
        yield [told(epoch, row, training.data.classes) for row in training.rows()]


def told(epoch: int, row: dict[str, Any], classes: int) -> dict[str, Any]:
    """The row of a record."""
    kept = {k: _round(row[k]) for k in ("train_loss", "test_loss")}
    accuracy = 1 / classes if None in kept.values() else row["test_accuracy"]
    return {"epoch": epoch + 1, **kept, "test_accuracy": round(accuracy, DIGITS)}


def _round(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def stacks(config: Staged) -> bool:
    """Whether seeds train at once: linear layers, and an optimizer that works by element."""
    return config.layered and config.optimizer != "muon"


def check(config: Staged, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    opened(config, 0, job)


def describe(config: Staged, job: Job) -> dict[str, Any]:
    """What the test numbers stand on, and the size of the net."""
    data = setting.read(config, job)
    net = build(config, data, 0)
    updates = config.epochs * math.ceil(len(data.train_y) / config.batch_size)
    way = setting.pipeline(config, net, updates)
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "macs": cost.total(net, data.shape).macs,
        "updates": updates,
        "delays": [way.policy.theory(k, way.stages)["delay"] for k in range(way.stages)],
        "versions": expected_versions(way),
        "bubble": float(bubble("async_1f1b", way.lane, way.micro, 1, updates)),
        "split": data.split,
    }
