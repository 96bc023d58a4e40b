"""Grows the ensembles of one config: all its seeds at once, a row for each member."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from torch import nn

import mlp.model
from bibd.kernels import paths as paths  # for the runner: into the provenance of an arm
from ensemble.growth import Growth
from ensemble.plans.config import Config
from harness import cost
from harness.data import Data, load
from harness.job import Job
from mlp.plans.config import Config as Net


def train_stack(config: Config, seeds: Sequence[int], job: Job) -> Iterator[list[dict | None]]:
    """Grow the ensembles of all seeds; yields a row for each and member."""
    data = read(config, job)
    growth = Growth(partial(build, config, data), data, seeds, config)

    def told(share: float) -> None:
        job.progress = share

    for _ in range(job.attach(net=growth), config.members):
        rows = growth.member(told)
        if not any(rows):
            return
        yield rows


def train(config: Config, seed: int, job: Job | None = None) -> Iterator[dict[str, Any]]:
    """Grow the ensemble of a single seed; yields a row for each member."""
    for (row,) in train_stack(config, [seed], job or Job()):
        if row is not None:
            yield row


def check(config: Config, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    read(config, job)


def describe(config: Config, job: Job) -> dict[str, Any]:
    """The costs of the whole ensemble, and what its test numbers stand on."""
    data = read(config, job)
    facts = cost.facts(build(config, data, 0), data.shape)
    many = 1 if config.method == "single" else config.members
    whole = {k: v * many if isinstance(v, int) else v for k, v in facts.items()}
    return {**whole, "split": data.split}


def build(config: Config, data: Data, seed: int) -> nn.Module:
    """A member, with this seed's first weights."""
    net = Net(config.hidden, config.pattern)
    return mlp.model.build(net, data.shape[0], data.classes, seed).to(data.train_x.device)


def read(config: Config, job: Job) -> Data:
    """The data of a config, with one axis per input."""
    data = load(config.data, job.data_root, config.test_split, job.device)
    return data.amounts().validate(config.validation).flatten()
