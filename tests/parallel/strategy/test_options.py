"""Options of strategies and of training that cannot be meant are named."""

import pytest
from torch import nn

from harness.data import Data
from parallel import DataParallel, Pipeline, World, train
from parallel.identities import averaging as identities
from parallel.strategy import make
from parallel.strategy.gossip import ElasticGossip


def broken(**options):
    return lambda: train(identities.net(), identities.task(), steps=1, **options)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: make("post_local_sgd", switch=2.5).init(2), "number of a step, 0 or later"),
        (lambda: make("gossip_pull", penalty=float("nan")).init(2), r"penalty must be in \(0, 100"),
        (lambda: make("elastic_gossip", penalty=1.0, matching=True).init(2), "no effect on it"),
        (lambda: make("ist", average="float_buffers").init(2), "nothing is averaged by `average`"),
        (
            lambda: make("elastic_gossip", alpha=0.6, average="optimizer_state").init(2),
            "own weight may fall below 0",
        ),
        (broken(strategy=ElasticGossip), r"make it first.*call it: ElasticGossip\(\)"),
        (broken(strategy=Pipeline), r"this is a class, call it: Pipeline\(stages=N\)"),
        (broken(strategy="gpipe"), r"strategy=Pipeline\(stages=N, schedule=\"gpipe\"\)"),
        (broken(strategy="1f1b"), r"strategy=Pipeline\(stages=N, schedule=\"1f1b\"\)"),
        (broken(strategy="pipedream"), r"strategy=Pipeline\(stages=N, weights=\"pipedream\"\)"),
        (broken(strategy="async_1f1b"), r"strategy=Pipeline\(stages=N, weights=\"pipedream\"\)"),
        (broken(loss=nn.CrossEntropyLoss), r"a class, call it: CrossEntropyLoss\(\)"),
        (lambda: train(nn.Sequential, steps=1), r"model is a net.*call it: Sequential\(\)"),
        (lambda: train(identities.net(), Data), r"data is an object.*call it: Data\(\)"),
        (broken(world=World), r"world is World.sim\(n\), World.procs\(n\)"),
        (lambda: DataParallel("torch", model=nn.ReLU), r"class, call it: ReLU\(\)"),
        (broken(seed=-1), "seed is a whole number, 0 or more"),
        (broken(every=2.5), "every is a whole number, 1 or more"),
        (lambda: train(identities.net(), identities.task(), steps=2.5), "steps is a whole number"),
    ],
)
def test_wrong_words_of_strategies_and_training(call, text):
    with pytest.raises(ValueError, match=text):
        list(call() or ())
