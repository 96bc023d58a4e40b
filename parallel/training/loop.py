"""Trains one model under any strategy in any world: `parallel.train`.

    for row in train(net, data, F.cross_entropy, partial(SGD, lr=0.1), "local_sgd", World.sim(8),
                     steps=1000, seed=0):
        print(row["step"], row["test_accuracy"], row["bytes_payload"])

The rows are the same in every world, but for rounding and times; so is the trained net, which
`train(...).model` and `.state_dict()` give (parallel.training.trained).
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from harness.data import Data
from parallel.pipeline.pipeline import Pipeline
from parallel.strategy import Strategy
from parallel.training import checked
from parallel.training.inputs import inputs_of
from parallel.training.pipelined import Pipelined
from parallel.training.trained import FACTS, ROW, SPLIT, STATE, Trained
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.world import World


def train(
    model: nn.Module | Callable[[int], nn.Module],
    data: Data | str | tuple[Any, Any] | Dataset = "digits",
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = nn.functional.cross_entropy,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    strategy: Strategy | Pipeline | str = "all_reduce",
    world: World | None = None,
    steps: int = 100,
    seed: int = 0,
    *,
    batch_size: int = 128,
    every: int | None = None,
    reshuffle: bool = False,
    measured: bool = False,
    consensus: bool = True,
) -> Trained:
    """Train, and give a row after every `every` steps and at the end: nothing is done before that.

    `train(...).model` is the trained net, and `.state_dict()` its state; `model` stays as it was.

    Args:
        model: Copied to every worker; or a function from a worker's rank to a model that trains.
        data: The name of a data set, tensors (x, y), a torch Dataset or a harness.data.Data. The
            training part is cut into a shard per worker; inputs as the model takes them. Integers
            become floats, but stay whole for a net that begins with an embedding.
        loss: A function of outputs and targets; a mean over the samples.
        optimizer: Makes the optimizer from parameters; default SGD, lr 0.1. One that works element
            by element (all but LBFGS and the factored ones) steps all workers of a stack at once.
        strategy: One of parallel.STRATEGIES, by name or made.
        world: Default: World.sim(4).
        steps: Steps of every worker.
        seed: Seed of shards, noise and peers.
        batch_size: Samples per step, of all workers together.
        every: Steps between rows; default: an epoch.
        reshuffle: Cut new shards in each epoch.
        measured: Of a pipeline in a simulation: count and time what its stages do, for
            `train(...).facts()`; processes always do.
        consensus: Test the model that stands for all in every row; False: in the last row only, as
            each test sends a model that the strategy did not ask for (`bytes_telemetry`).

    Models, losses and optimizers go to other processes by pickle: define them in a module, and keep
    the script's own calls under `if __name__ == "__main__":`.
    """
    checked.called(model, loss)
    strategy = checked.strategy_of(strategy)
    world = checked.world_of(world, strategy)
    checked.numbers(steps=(steps, 1), every=(every, 1), seed=(seed, 0), batch_size=(batch_size, 1))
    data = inputs_of(data, model)
    optimizer = optimizer or partial(torch.optim.SGD, lr=0.1)
    options: dict[str, Any] = dict(batch_size=batch_size, seed=seed, reshuffle=reshuffle)
    # (checked when called, trained when asked for rows)
    parts = model, data, loss, optimizer, strategy
    checked.before(parts, world, **options)
    options |= checked.measured(measured, strategy)
    return Trained(run(world, rows_and_net, parts, options, steps, every, consensus), model)


def rows(
    comm: Comm, parts: tuple, options: dict[str, Any], steps: int, every: int | None
) -> Iterator[dict[str, Any]]:
    """Train as one process of a world, and yield its rows."""
    for kind, what in rows_and_net(comm, parts, options, steps, every):
        if kind == ROW:
            yield what


def rows_and_net(
    comm: Comm,
    parts: tuple,
    options: dict[str, Any],
    steps: int,
    every: int | None,
    consensus: bool = True,
) -> Iterator[tuple[str, Any]]:
    """The same, each with its kind; in the end the state dict that the last row was tested with."""
    training: Training | Pipelined
    if isinstance(parts[-1], Pipeline):
        training = Pipelined(*parts, comm=comm, steps=steps, **options)
        yield SPLIT, training.layer_split
    else:
        training = Training(*parts, comm=comm, **options)
    every = every or training.shards.steps
    while training.done < steps:
        training.step()
        if training.done % every == 0 or training.done == steps:
            yield ROW, training.row(consensus or training.done == steps)
    if isinstance(training, Pipelined) and training.copies.measured:
        yield FACTS, training.facts()
    whole = comm.rank == 0 or isinstance(training, Training)  # (of stages rank 0 has them all)
    state = training.judge.state_dict() if whole else None
    if state and not comm.alone:
        state = {k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in state.items()}
    yield STATE, state
    for note in training.notes():
        warnings.warn(note, stacklevel=2)
