"""Chooses the executor that carries out a strategy, by what its workers hold.

Those here have their part before and after a local step; the forward and backward pass between is
the training's own (parallel.training.backward, or the user's loop). An executor whose workers hold
stages of a net will bring a pass of its own.

An executor is the fifth small protocol, without a base class. Trainings, wrappers and identities
know only this of it:

    cut(models, seed)               what the workers here train, made from full models
    attach(members)                 the workers here; accept(optimizer): what steps them
    begin(seed, step)               the round of a step, as the strategy planned it
    early(seed, step, counts)       at the end of a backward: gradients, if the round averages them
    before(seed, step, counts)      what the round has before the local step; whether after() is due
    after()                         what it has after it
    consensus(), whole              state dict of the model that stands for all; a model to load it
    load(state)                     begin anew from a full model's state
    distance()                      how far workers are apart, or None
    gradients                       of the workers here, or None where they are never averaged
    planned, seen, tally            bytes by the rounds; samples; rounds, and those that drive apart
    states.size(sends)              bytes that a worker sends at a time, in a codec or as they are
    states.move(fn)                 for `.to()`
    state_dict(), load_state_dict() to go on bitwise
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from harness.names import check
from parallel.replicas import executor as _replicas
from parallel.replicas.hollow import hollow
from parallel.strategy.averaging import GradientAllReduce
from parallel.strategy.base import Strategy
from parallel.subnets import executor as _subnets
from parallel.world.comm import Comm
from parallel.zero import executor as _slices
from parallel.zero import whole

Executor = _replicas.Executor | _subnets.Executor | _slices.Executor
EXECUTORS: dict[str, Callable[..., Executor]] = {
    "replicas": _replicas.Executor,
    "subnets": _subnets.Executor,
    "slices": _slices.Executor,
}


def executor_of(strategy: Strategy, comm: Comm, seed: int) -> Executor:
    """Return a new executor, and tell the strategy its number of workers and the run's seed."""
    strategy.seed = seed
    strategy.init(comm.workers)
    kind = EXECUTORS[check("kind of executor (Strategy.holds)", strategy.holds, EXECUTORS)]
    return kind(strategy, comm)


def ahead(executor: Executor, counts: Sequence[float]) -> None:
    """Tell an executor whose gradients leave during the backward each worker's samples in it."""
    if isinstance(executor, _slices.Executor):
        executor.gradients.weights = lambda: counts


def shown(executor: Executor) -> nn.Module:
    """Return a model to load the consensus into; without weights yet, where they are divided."""
    slices = isinstance(executor, _slices.Executor)
    return hollow(executor.whole) if slices else copy.deepcopy(executor.whole)


def held(executor: Executor) -> dict[str, Any]:
    """Return the bytes that the first worker here holds, for a row: of ZeRO, and of all-reduce."""
    if isinstance(executor, _slices.Executor):
        return executor.meter.row(executor.strategy.stage)
    if type(executor.strategy) is GradientAllReduce:
        return whole.row(executor.members, executor.optimizer)
    return {}
