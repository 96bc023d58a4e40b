"""Defines the experiments of the thesis: their numbers, data, models and methods.

model, rate, momentum, epochs, batch, decay         iris, mnist, cifar10: see SETTINGS
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from harness.data import Data, load
from harness.nets import perceptron
from harness.seeding import order
from parallel.strategy import Strategy, make
from parallel.thesis.options import METHODS, Options


@dataclass(frozen=True)
class Setting:
    """The defaults of one experiment."""

    learning_rate: float
    momentum: float
    epochs: int
    batch_size: int
    anneal_milestones: tuple[int, ...]
    anneal_factor: float
    nesterov: bool
    validation: int


SETTINGS = {
    "iris": Setting(0.01, 0.99, 3, 4, (2000,), 0.1, False, 25),
    "mnist": Setting(0.001, 0.99, 100, 128, (), 0.5, True, 8800),
    "cifar10": Setting(0.01, 0.9, 50, 128, (15, 30, 40), 0.5, True, 5200),
}


def filled(options: Options) -> Setting:
    """Return the experiment's defaults, replaced by what was given (0 is given)."""
    default = SETTINGS[options.experiment]
    given = {k: getattr(options, k, None) for k in vars(default)}
    found = replace(default, **{k: v for k, v in given.items() if v is not None})
    nesterov = found.nesterov and not options.no_nesterov and found.momentum > 0
    return replace(found, nesterov=nesterov)


def read(options: Options) -> tuple[Data, Any]:
    """Return training, validation and test set, and what draws batches of images."""
    setting = SETTINGS[options.experiment]
    if options.experiment == "iris":
        return _iris(load("iris", options.data_root), options.seed), None
    data = load(options.experiment, options.data_root, options.test_split)
    data = data.validate(setting.validation)
    if options.experiment == "mnist":
        norm = lambda x: (x.flatten(1) - 0.1307) / 0.3081  # noqa: E731
        return data.map(norm, ("train_x", "validation_x", "test_x")), None
    from harness.data.pictures import Batches, images

    layout = torch.channels_last
    batches = Batches(data, "flip", options.seed, layout)
    seen = lambda x: images(x, data, layout)  # noqa: E731
    return data.map(seen, ("validation_x", "test_x")), batches


def _iris(data: Data, seed: int) -> Data:
    """Split the flowers: 100 to train, 25 to validate, 25 to test."""
    mix = order(seed, 0, 150)
    x, y = torch.cat([data.train_x, data.test_x])[mix], torch.cat([data.train_y, data.test_y])[mix]
    xs, ys = x.split([100, 25, 25]), y.split([100, 25, 25])
    split = "100 train, 25 validation, 25 test by the seed"
    return Data("iris", split, xs[0], ys[0], xs[2], ys[2], xs[1], ys[1])


def model(options: Options, data: Data, rank: int) -> nn.Module:
    """Build a worker's net; its first weights are of its own seed where nothing is shared."""
    seed = options.seed + rank
    if options.experiment != "cifar10":
        return {"iris": perceptron.iris, "mnist": perceptron.mnist}[options.experiment](seed)
    from resnet.model import resnet

    return resnet(18, width=options.width or 64, classes=data.classes, preact=True, seed=seed).to(
        memory_format=torch.channels_last  # pyright: ignore
    )


def strategy(options: Options) -> Strategy:
    """Return the method of the experiment as one of our strategies."""
    name = METHODS["local" if options.num_workers == 1 else options.agg_method]
    words: dict[str, Any] = {}
    if options.agg_method in ("elasticGossip", "gossipingSgd") and options.num_workers > 1:
        words = dict(period=options.agg_period, probability=options.agg_prob)
        words["penalty"] = options.penalty if options.weighted_gossip else None
    if name == "elastic_gossip":
        words |= dict(alpha=options.elastic_alpha, weights=options.elastic_weights)
    return make(name, **words)
