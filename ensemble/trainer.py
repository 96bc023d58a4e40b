"""Trains the ensembles of a config, each kind of config by a module of its own.

    Config    MLPs, all seeds at once, a row for each member                 ensemble.growth
    Paper     ResNets, a seed at a time, a row for each member               ensemble.deep
    Budget    nets of one budget, side by side, a row for each epoch         ensemble.sides
    Chain     nets that are asked in turn, a row for each link               ensemble.chains
    Grid      a ResNet, and an ensemble of others, a row for each net        ensemble.grid

The models of other studies are built here and nowhere else in this package.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

import mlp.model
import resnet.trainer
from ensemble import weighing
from ensemble.chains import Chained
from ensemble.deep import Deep
from ensemble.fit.samples import CHUNK
from ensemble.grid import Cell
from ensemble.growth import Growth
from ensemble.plans.budget import Budget
from ensemble.plans.cascade import Chain
from ensemble.plans.config import Config
from ensemble.plans.factors import Grid
from ensemble.plans.paper import Paper
from ensemble.sides import Side
from harness import cost
from harness.data import Data, load
from harness.data.pictures import images
from harness.job import Job
from mlp.plans.config import Config as Net
from resnet.model import resnet as make_resnet
from resnet.trainer import paths as paths  # for the runner: into the provenance of an arm

Any_ = Config | Paper | Budget | Chain | Grid
Rows = Iterator[dict[str, Any]]


def stacks(config: Any_) -> bool:
    """Return whether the seeds of an arm train as one stack."""
    return isinstance(config, Config)


def train_stack(config: Config, seeds: Sequence[int], job: Job) -> Iterator[list[dict | None]]:
    """Grow the ensembles of all seeds; yields a row for each and member."""
    data = read(config, job)
    growth = Growth(partial(build, config, data), data, seeds, config)
    for _ in range(job.attach(net=growth), config.members):
        rows = growth.member(partial(_tell, job))
        if not any(rows):
            return
        yield rows


def train(config: Any_, seed: int, job: Job | None = None) -> Rows:
    """Train what a config says with a single seed; yields its rows."""
    job = job or Job()
    if isinstance(config, Config):
        for (row,) in train_stack(config, [seed], job):
            if row is not None:
                yield row
        return
    grow: Any = {Paper: _deep, Budget: _side, Chain: _chain, Grid: _cell}[type(config)]
    yield from grow(config, read(config, job), seed, job)


def _deep(config: Paper, data: Data, seed: int, job: Job) -> Rows:
    growth = Deep(partial(member, config, data), data, seed, config)
    for _ in range(job.attach(net=growth), config.members):
        row = growth.member(partial(_tell, job))
        if row is None:
            return
        yield row


def _side(config: Budget, data: Data, seed: int, job: Job) -> Rows:
    side = Side(config, data, seed)
    for epoch in range(job.attach(net=side), config.epochs):
        row = side.epoch(data)
        if epoch + 1 == config.epochs:
            row |= weighing.weighed(side, data) | {"time": weighing.times(side, data)}
        yield {"epoch": epoch + 1, **row}


def _chain(config: Chain, data: Data, seed: int, job: Job) -> Rows:
    chain = Chained(config, data, seed)
    for link in range(job.attach(net=chain), config.epochs):
        row = chain.link(partial(_tell, job))
        if link + 1 == config.epochs:
            row["time"] = chain.times(row.get("fitted", {}).get("threshold"))
        yield row


def _cell(config: Grid, data: Data, seed: int, job: Job) -> Rows:
    targets = {part: getattr(data, f"{part}_y") for part in ("test", "validation")}
    cell = Cell(partial(_trained, config, data, job), targets, config, seed)
    for _ in range(job.attach(net=cell), config.epochs):
        yield cell.next(partial(_tell, job))


def _trained(config: Grid, data: Data, job: Job, seed: int, told: Any) -> dict[str, torch.Tensor]:
    """Train a ResNet as its own study does; returns the logits (exits, samples, classes)."""
    own, net_config = Job(job.device, job.data_root), config.net()
    for row in resnet.trainer.train(net_config, seed, own):
        told(row["epoch"] / net_config.epochs)
        if "failed" in row:
            raise ValueError(row["failed"])
    layout = resnet.trainer.layout(net_config, job.device)
    parts = {"test": data.test_x, "validation": data.validation_x}
    pictures = {part: images(x, data, layout) for part, x in parts.items() if x is not None}
    return {part: _exits(own.parts["net"], x) for part, x in pictures.items()}


@torch.no_grad()
def _exits(net: Any, x: torch.Tensor) -> torch.Tensor:
    net.eval()
    return torch.cat([torch.stack(net.forward_exits(part)) for part in x.split(CHUNK)], 1)


def _tell(job: Job, share: float) -> None:
    job.progress = share


def check(config: Any_, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    data = read(config, job)
    if isinstance(config, Paper):
        member(config, data)
    if isinstance(config, Budget):
        weighing.costs(config, data)


def describe(config: Any_, job: Job) -> dict[str, Any]:
    """Return the costs of the whole ensemble, and what its test numbers stand on."""
    data = read(config, job)
    if isinstance(config, Budget):
        return {**weighing.costs(config, data), "split": data.split}
    if isinstance(config, Chain):
        found = [weighing.costs(config.side(link), data) for link in config.links]
        return {k: sum(one[k] for one in found) for k in found[0]} | {"split": data.split}
    many = 1 if getattr(config, "method", "") == "single" else config.members
    facts = cost.facts(_one(config, data), data.shape)
    whole = {k: v * many if isinstance(v, int) else v for k, v in facts.items()}
    return {**whole, "split": data.split}


def _one(config: Config | Paper | Grid, data: Data) -> nn.Module:
    if isinstance(config, Grid):
        return resnet.trainer.build(config.net(), data, 0)
    return member(config, data) if isinstance(config, Paper) else build(config, data, 0)


def build(config: Config, data: Data, seed: int) -> nn.Module:
    """Build an MLP with this seed's first weights."""
    net = Net(config.hidden, config.pattern)
    return mlp.model.build(net, data.shape[0], data.classes, seed).to(data.train_x.device)


def member(config: Paper, data: Data) -> nn.Module:
    """Build a ResNet whose start is drawn from torch's generator."""
    net = make_resnet(
        config.depth,
        config.pattern,
        config.groups,
        width=config.width,
        classes=data.classes,
        shape=data.shape,  # pyright: ignore
        seed=int(torch.randint(2**31, ())),
    )
    return net.to(data.train_x.device)


def read(config: Any_, job: Job) -> Data:
    """Return the data of a config: pictures for ResNets, one axis per input for MLPs."""
    data = load(config.data, job.data_root, config.test_split, job.device)
    if isinstance(config, Paper | Grid):
        return data.images().first(config.first).validate(config.validation)
    data = data.amounts().validate(config.validation)
    data = (data if isinstance(config, Config) else data.pad(config.pad)).flatten()
    return standard(data) if isinstance(config, Budget) and config.standard else data


def standard(data: Data) -> Data:
    """Return the data with inputs minus their mean, over their deviation, of the training part."""
    mean, deviation = data.train_x.mean(), data.train_x.std()
    return data.map(lambda x: (x - mean) / deviation)
