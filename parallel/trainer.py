"""Trains one config of a plan with one seed: all workers in this process, a row per epoch.

Configs of pipelines (`Staged`) go to parallel.staged.run, which trains several seeds at once;
those of cables (`Linked`) to parallel.linked.run, whose workers have hosts of their own.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bibd.kernels import paths as paths  # for the runner: into the provenance of an arm
from harness import cost
from harness.data import Data, load
from harness.job import Job
from harness.nets import perceptron
from parallel.linked import run as over
from parallel.plans.config import Config
from parallel.plans.link import Linked
from parallel.plans.staged import Staged
from parallel.staged import run
from parallel.strategy import of
from parallel.training.training import Training
from parallel.world.comm import Comm, NotFinite

NORM = {"mnist": (0.1307, 0.3081)}  # as the thesis normalised


def stacks(config: Config | Staged) -> bool:
    """Return whether the seeds of an arm train as one stack."""
    return isinstance(config, Staged) and run.stacks(config)


def train_stack(config: Staged, seeds: Sequence[int], job: Job) -> Iterator[list[dict[str, Any]]]:
    """Train seeds as one stack, where `stacks` says so; yields a row for each per epoch."""
    yield from run.train_stack(config, seeds, job)


def train(config: Config | Staged, seed: int, job: Job | None = None) -> Iterator[dict[str, Any]]:
    """Train one seed; yields one row per epoch."""
    job = job or Job()
    if isinstance(config, Staged):
        yield from run.train(config, seed, job)
        return
    if isinstance(config, Linked):
        yield from over.train(config, seed, job)
        return
    training = open_session(config, seed, job)
    for epoch in range(job.attach(net=training), config.epochs):
        try:
            for k in range(training.shards.steps):
                training.step()
                job.progress = (k + 1) / training.shards.steps
            row = training.row()
        except NotFinite as error:
            yield {"epoch": epoch + 1, "failed": f"{error} (step {training.done})"}
            return
        if not math.isfinite(row["test_loss"]):
            row["failed"] = f"the loss became {row['test_loss']} in epoch {epoch + 1}"
        if epoch + 1 == config.epochs and training.executor.strategy.holds == "replicas":
            row["worker_accuracy"] = training.worker_accuracies()
            row["notes"] = training.notes()
        yield row


def open_session(config: Config, seed: int, job: Job) -> Training:
    """Prepare a run: returns its training, with everything that it needs."""
    data, batches = read(config, job, seed)
    net = build(config, data, seed)
    options = dict(lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    return Training(
        lambda rank: build(config, data, seed + 10_000 * rank) if rank else net,
        data,
        F.cross_entropy,
        partial(torch.optim.SGD, **options, fused=True),
        of(config),
        Comm(config.workers),
        batch_size=config.batch_size,
        seed=seed,
        batches=batches,
    )


def read(config: Config, job: Job, seed: int) -> tuple[Data, Any]:
    """Return the data, and what draws its batches where that is more than taking samples."""
    data = load(config.data, job.data_root, config.test_split, job.device)
    data = data.first(config.first).validate(config.validation)
    if config.model == "resnet":
        from harness.data.pictures import Batches, images

        data, layout = data.images(), torch.channels_last
        batches = Batches(data, "flip", seed, layout)
        test = images(data.test_x, data, layout)
        return data.map(lambda x: test if x is data.test_x else x, ("test_x",)), batches
    mean, scale = NORM.get(config.data, (0.0, 1.0))
    return data.amounts().flatten().map(lambda x: (x - mean) / scale, ("train_x", "test_x")), None


def build(config: Config, data: Data, seed: int) -> nn.Module:
    """Build the model of one worker."""
    if config.model == "resnet":
        from resnet.model import resnet

        shape: Any = data.shape
        options = dict(width=config.width, classes=data.classes, shape=shape, preact=True)
        return resnet(config.depth, **options, seed=seed).to(memory_format=torch.channels_last)  # pyright: ignore
    if config.model == "mlp":
        return perceptron.mlp((data.shape[0], *config.hidden, data.classes), seed)
    return {"iris": perceptron.iris, "mnist": perceptron.mnist}[config.model](seed)


def check(config: Config | Staged, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    if isinstance(config, Staged):
        return run.check(config, job)
    if isinstance(config, Linked):
        return over.check(config, job)
    open_session(config, 0, job)


def describe(config: Config | Staged, job: Job) -> dict[str, Any]:
    """Return the costs of one worker's model, and what the test numbers stand on."""
    if isinstance(config, Staged):
        return run.describe(config, job)
    if isinstance(config, Linked):
        return over.describe(config, job)
    training = open_session(config, 0, job)
    data = training.data
    own = cost.total(training.members.template, data.shape)
    return {
        **cost.facts(training.judge, data.shape),
        "worker_macs": own.macs,
        "worker_parameters": own.nonzeros,
        "steps_per_epoch": training.shards.steps,
        "stacked": hasattr(training.members, "net"),
        "split": data.split,
    }
