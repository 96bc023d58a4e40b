"""Makes the replicas of a pipeline that are here, from the net: cut alike, and joined."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from parallel.pipeline.actions import Table
from parallel.pipeline.build import built
from parallel.pipeline.channel import Channel
from parallel.pipeline.executor import Executor
from parallel.pipeline.joint import Apart, Joint, Together
from parallel.pipeline.lane import Lane
from parallel.pipeline.lockstep import Lockstep
from parallel.pipeline.pipeline import Pipeline
from parallel.training.copies import Copies, Copy
from parallel.training.minibatches import Minibatches
from parallel.world.comm import Comm


@dataclass
class Maker:
    """Makes the replicas of a pipeline that are here.

    Args:
        table: What all of them do.
        pipeline: How many there are.
        comm: All ranks.
        loss: Of the last stage.
        optimizer: Makes one from parameters, for each stage.
        seed: Of noise.
        resumable: Whether forward weights are kept for a state_dict.
        measured: Whether stages are listened to also where nobody waits for another.
    """

    table: Table
    pipeline: Pipeline
    comm: Comm
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    optimizer: Callable[..., torch.optim.Optimizer]
    seed: int
    resumable: bool
    measured: bool = False

    def __call__(self, model: nn.Module, batches: Sequence[Minibatches], count: int) -> Copies:
        """Those here; the first has the model itself.

        Args:
            model: The net.
            batches: Of each replica here.
            count: Samples to cut the net by.
        """
        models = [model, *(copy.deepcopy(model) for _ in batches[1:])]
        found: list[Copy] = []
        for net, own in zip(models, batches, strict=True):
            split = found[0].parts.split if found else self.pipeline.layer_split
            found.append(self._one(net, own, replace(self.pipeline, layer_split=split), count))
        self._join([one.executor for one in found])
        return Copies(found, self.comm, self.pipeline, self.measured or not self.comm.alone)

    def _one(self, net: nn.Module, batches: Minibatches, pipeline: Pipeline, count: int) -> Copy:
        replica, replicas = batches.replica
        x, table = batches.inputs(count), self.table
        lane = self.comm if replicas == 1 else Lane(self.comm, replica, len(table.ranks))
        words: Any = self.optimizer, self.loss, self.seed, self._total, replica
        parts, stages = built(net, pipeline, table, lane, x, *words)
        for stage in stages.values():
            stage.resumable = self.resumable
        channel = Channel(lane, table, batches.samples, x.device)
        kind = Lockstep if replicas > 1 and self.comm.alone else Executor
        return Copy(batches, parts, kind(table, stages, channel, batches.feed, lane, pipeline))

    def _total(self, value: float) -> float:
        return sum(self.comm.everyone(value))

    def _join(self, executors: Sequence[Executor]) -> None:
        """Let them add up their gradients."""
        pipeline, first = self.pipeline, executors[0]
        if pipeline.replicas == 1:
            return
        whole = pipeline.clip is not None and pipeline.waits
        joint: Joint
        if isinstance(first, Lockstep):
            first.others = executors[1:]
            joint = Together(whole, self.comm, [one.stages for one in executors])
        else:
            joint = Apart(whole, self.comm, len(self.table.ranks), pipeline.replicas)
        for one in executors:
            one.joint = joint
