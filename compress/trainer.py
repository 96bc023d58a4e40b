"""Trains the nets of a config, each kind of config by a module of its own.

Dynamic   a sparse net whose connections stay, move or are pruned       compress.runs.dynamic
Deep      a net, pruned in steps, and the files that are made of it     compress.runs.deep
Int8      a net, and what int8 makes of it                              compress.runs.int8
Coded     a net as in Dynamic, and the files that are made of it        compress.runs.coded
Tickets   levels of a net that is pruned and starts again               compress.runs.tickets
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from bibd.kernels import paths as paths  # for the runner: into the provenance of an arm
from compress.plans.coded import Coded
from compress.plans.deep import Deep
from compress.plans.dynamic import Dynamic
from compress.plans.int8 import Int8
from compress.plans.levels import Tickets
from compress.runs import coded, deep, dynamic, int8, tickets
from harness import cost
from harness.data import Data, load
from harness.job import Job
from resnet.model import resnet

Config = Dynamic | Coded | Deep | Tickets | Int8
RUNS: dict[type, Any] = {
    Dynamic: dynamic,
    Coded: coded,
    Deep: deep,
    Tickets: tickets,
    Int8: int8,
}


def stacks(config: Config) -> bool:
    """Return whether the seeds of an arm train as one stack."""
    return isinstance(config, Tickets) and config.net == "mlp"


def train_stack(config: Tickets, seeds: Sequence[int], job: Job) -> Iterator[list[dict[str, Any]]]:
    """Train all seeds side by side; yields a row for each and level."""
    run = tickets.Run(config, read(config, job), seeds)
    for number in range(job.attach(net=run), config.epochs):
        yield run.rows(number, partial(_tell, job))


def train(config: Config, seed: int, job: Job | None = None) -> Iterator[dict[str, Any]]:
    """Train one seed; yields its rows."""
    job = job or Job()
    if isinstance(config, Tickets):
        yield from (row for (row,) in train_stack(config, [seed], job))
        return
    run = _run(config, read(config, job), seed)
    for number in range(job.attach(net=run), config.epochs):
        row = run.row(number, partial(_tell, job))
        yield row
        if "failed" in row:
            return


def _run(config: Config, data: Data, seed: int) -> Any:
    if isinstance(config, Deep):
        return deep.Run(config, data, seed, build(config, data, seed))
    return RUNS[type(config)].Run(config, data, seed)


def build(config: Config, data: Data, seed: int) -> nn.Module:
    """Return the net of a config with this seed's start."""
    if isinstance(config, Deep) and config.net == "b_resnet_18":
        shape: Any = data.shape
        named: Any = dict(width=config.width, classes=data.classes, shape=shape, seed=seed)
        return resnet(18, "bibd", **named).to(memory_format=torch.channels_last)  # pyright: ignore
    return RUNS[type(config)].build(config, data, seed)


def _tell(job: Job, share: float) -> None:
    job.progress = share


def check(config: Config, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    net = build(config, read(config, job), 0)
    if isinstance(config, Deep):
        deep.Start(config, net)


def describe(config: Config, job: Job) -> dict[str, Any]:
    """Return the costs of the net, and what its test numbers stand on."""
    data = read(config, job)
    net = build(config, data, 0)
    facts: dict[str, Any] = cost.facts(net, data.shape) | {"split": data.split}
    if isinstance(config, Dynamic) and config.method in ("gradual", "subset"):
        kept = round(config.density * facts["connections"])  # (that its last masks leave)
        facts |= {"connections": kept, "macs": kept}
    return facts


def read(config: Config, job: Job) -> Data:
    """Return the data of a config, as its net reads it."""
    data = load(config.data, job.data_root, config.test_split, job.device)
    return RUNS[type(config)].shaped(config, data)
