"""Trains one config of the link studies with one seed: a row after each look, until the goal."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from harness.data import Data, load
from harness.job import Job
from harness.nets import perceptron
from parallel.link.net import why_not
from parallel.linked.predicted import cost
from parallel.plans.link import Linked
from parallel.strategy import of
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.world import World


def world(config: Linked) -> World:
    """Return where a config's workers are."""
    if not config.hosts:
        return World.sim(config.workers)
    words: dict[str, Any] = dict(link=config.cable(), per_host=config.per_host)
    return World.procs(config.workers, **words, threads=1, timeout=120)


def train(config: Linked, seed: int, job: Job) -> Iterator[dict[str, Any]]:
    """Train one seed; yields a row per look. A run is short: it begins anew after a kill."""
    job.attach()
    if job.device != "cpu":
        raise ValueError(f"hosts on a bridge train on the CPU, and this is --device {job.device}")
    for row in run(world(config), task, config, seed, job.data_root):
        job.progress = 0.0
        yield row


def task(comm: Comm, config: Linked, seed: int, root: str | None) -> Iterator[dict[str, Any]]:
    """What each worker does."""
    training = prepare(comm, config, seed, root)
    for look in range(config.epochs):
        for _ in range(config.every):
            training.step()
        row = _row(training, config, seed)
        yield row | {"epoch": look + 1}
        if row["reached"] or (config.limit and row["seconds"] > config.limit):
            return


def prepare(comm: Comm, config: Linked, seed: int, root: str | None) -> Training:
    """Return the training of a config."""
    data = read(config, root)
    net = perceptron.mlp((data.shape[0], *config.hidden, data.classes), seed)
    sgd = partial(torch.optim.SGD, lr=config.lr, momentum=config.momentum)
    given = net, data, F.cross_entropy, sgd, of(config), comm
    return Training(*given, batch_size=config.batch_size, seed=seed)


def read(config: Linked, root: str | None) -> Data:
    """Return the data, as vectors."""
    data = load(config.data, root, config.test_split, "cpu")
    return data.first(config.first).validate(config.validation).amounts().flatten()


def _row(training: Training, config: Linked, seed: int) -> dict[str, Any]:
    """Return what is known: the slowest host's seconds, and what was predicted for the cable."""
    found, comm = training.row(), training.comm
    seconds = max(comm.everyone(found["train_time"]))
    reached = comm.everyone(float(found["test_accuracy"] >= config.goal))[0]
    given = training.executor.strategy, seed, training.done, found["bytes_theory"]
    sent = cost(*given, config.per_host)
    cable = config.cable()
    rate = 8 / cable.rate if cable.rate else 0.0
    return found | {
        "seconds": seconds,
        "reached": bool(reached),
        "busiest": sent.bytes,
        "rounds": sent.rounds,
        "cable_time": sent.rounds * cable.delay + sent.bytes * rate,
    }


def check(config: Linked, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    if config.hosts and (reason := why_not()):
        raise ValueError(f"workers would be on hosts of their own: {reason}")
    prepare(Comm(config.workers), config, 0, job.data_root)


def describe(config: Linked, job: Job) -> dict[str, Any]:
    """Return what all runs of the arm share."""
    data = read(config, job.data_root)
    net = perceptron.mlp((data.shape[0], *config.hidden, data.classes), 0)
    return {"parameters": sum(p.numel() for p in net.parameters()), "split": data.split}
