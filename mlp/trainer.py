"""Trains one config: all its seeds as one stacked net."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from bibd import kernels, replayed
from harness import cost
from harness.data import Data, load
from harness.job import Job
from harness.stack import stack
from harness.train import graph
from harness.train.clock import Clock
from harness.train.faults import told
from harness.train.fit import fit
from harness.train.plateau import Plateau
from mlp.model import build
from mlp.plans.config import Config


def train_stack(config: Config, seeds: Sequence[int], job: Job) -> Iterator[list[dict | None]]:
    """Train the seeds as one stack; yields one row per seed and epoch."""
    what = f"batch_size={config.batch_size}, {len(seeds)} seeds, hidden {config.hidden}"
    with told(what, "lower --batch-size first, then --seeds"):
        yield from _trained(config, seeds, job)


def _trained(config: Config, seeds: Sequence[int], job: Job) -> Iterator[list[dict | None]]:
    data = read(config, job)
    sizes = data.shape[0], data.classes
    optimizer = partial(torch.optim.SGD, lr=config.lr, momentum=config.momentum, fused=True)
    net = stack([build(config, *sizes, seed) for seed in seeds]).to(job.device)
    clock = None
    if config.timed:
        alone = build(config, *sizes, seeds[0]).to(job.device)
        clock = Clock(alone, optimizer, data, config.batch_size)
    yield from fit(
        net,
        optimizer(net.parameters()),
        data,
        seeds=seeds,
        epochs=config.epochs,
        batch_size=config.batch_size,
        job=job,
        plateau=Plateau(len(seeds), config.epochs, config.patience, config.cooldown),
        clock=clock,
        graph=config.graph,
        within=replayed,
        compiled=config.compile,
    )


def paths() -> dict[str, str]:
    """Return the ways to compute that were taken since: of sparse layers, and of steps on a card.

    (For the runner: into the provenance of an arm.)
    """
    return kernels.paths() | graph.taken()


def train(config: Config, seed: int, job: Job | None = None) -> Iterator[dict]:
    """Train a single seed; yields one row per epoch."""
    for (row,) in train_stack(config, [seed], job or Job()):
        assert row is not None  # alone, it ends with its group
        yield row


def check(config: Config, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    load(config.data, job.data_root, config.test_split).amounts().validate(config.validation)


def describe(config: Config, job: Job) -> dict:
    """Return the costs of the model, and what its test numbers stand on."""
    data = read(config, job)
    model = build(config, data.shape[0], data.classes, seed=0)
    return {**cost.facts(model, data.shape), "split": data.split}


def read(config: Config, job: Job) -> Data:
    """Return the data of a config, with one axis per input."""
    data = load(config.data, job.data_root, config.test_split, job.device)
    return data.amounts().validate(config.validation).pad(config.pad).flatten()
