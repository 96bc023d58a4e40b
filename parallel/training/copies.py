"""The replicas of a pipeline that are here: all of them in a simulation, a part of one else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from parallel.pipeline.cut import Parts
from parallel.pipeline.executor import Executor
from parallel.pipeline.gather import gathered
from parallel.pipeline.meter import Meter
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.resume import load_state, saved_state
from parallel.training.minibatches import Minibatches
from parallel.training.training import summed
from parallel.world.comm import Comm

Losses = list[tuple[torch.Tensor, int]]


@dataclass
class Copy:
    """One replica: its samples, its stages, and what they do."""

    batches: Minibatches
    parts: Parts
    executor: Executor

    def losses(self, t: int) -> list[tuple[torch.Tensor, int]]:
        """The mean loss over its samples of minibatch t of the table, and their number.

        Where the last stage is not here, nothing; where it had no samples, zero of none.
        """
        if self.executor.table.stages - 1 not in self.executor.stages:
            return []
        own, count = self.batches.own(t), self.batches.size(t)
        found = self.executor.loss(t)
        if own == count:
            return [(loss, count) for loss in found]
        return [(loss * (count / own), own) for loss in found] or [(torch.zeros(()), 0)]


@dataclass
class Copies:
    """Those here.

    Args:
        each: They are; the first one's executor takes the others along.
        comm: All ranks.
        pipeline: How many there are in all.
        measured: Whether the stages here are listened to.
    """

    each: Sequence[Copy]
    comm: Comm
    pipeline: Pipeline
    measured: bool
    meter: Meter = field(init=False)
    updates: int = 0  # of this process, and their samples: what the meter has seen
    seen: int = 0
    paces: Sequence[float] = ()  # seconds of work for a minibatch, of each rank

    def __post_init__(self):
        first = self.each[0].executor.stages.values() if self.measured else ()
        self.meter = Meter(first)

    @property
    def executor(self) -> Executor:
        """What takes steps."""
        return self.each[0].executor

    @property
    def split(self) -> list[int]:
        """How the net was cut."""
        return self.each[0].parts.split

    def size(self, t: int) -> int:
        """Samples of minibatch t of the table, in all replicas."""
        return self.each[0].batches.size(t)

    def restart(self, first: int) -> None:
        """Begin the table anew, for later minibatches."""
        for one in self.each:
            one.batches.first = first
        self.executor.restart(first)

    def losses(self, t: int) -> Losses:
        """Of minibatch t, one for each replica that has the last stage here."""
        return [loss for one in self.each for loss in one.losses(t)]

    def mean(self, losses: Losses) -> float:
        """Over the samples of all ranks; added up by replica, as it is between processes."""
        own = [summed(losses[r :: len(self.each)]) for r in range(len(self.each))]
        total, samples = (sum(self.comm.everyone(sum(v))) for v in zip(*own, strict=True))
        return total / max(samples, 1)

    @property
    def gradients(self) -> float:
        """Bytes of gradients that replicas here have sent to each other."""
        return self.executor.joint.sent if self.executor.joint else 0.0

    def bytes(self) -> dict[str, float]:
        """Sent so far by all ranks, and what of it were gradients between replicas."""
        found = {"bytes_payload": sum(self.comm.everyone(self.comm.sent))}
        if self.pipeline.replicas > 1:
            found["bytes_gradients"] = sum(self.comm.everyone(self.gradients))
        return found

    def passed(self, samples: int, seconds: float) -> None:
        """Note that an update is done."""
        self.updates += 1
        self.seen += samples
        self.meter.elapsed += seconds

    def idle(self) -> float | None:
        """The share of all ranks' time in which they waited; None in a simulation."""
        if self.comm.alone:
            return None
        self.paces = self.comm.everyone(self.meter.pace(self.pipeline.micro))
        busy, whole = (sum(self.comm.everyone(v)) for v in (self.meter.busy, self.meter.elapsed))
        return max(0.0, 1 - busy / whole) if whole else None

    def consensus(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """The state dict of the net, which is the model of the first; whole on rank 0."""
        parts = [one.parts for one in self.each]
        return gathered(model, self.executor.table, parts, self.comm, self.pipeline.replicas)

    def state_dict(self) -> dict[str, Any]:
        """Everything of those here."""
        each = [saved_state(one.executor) for one in self.each]
        return {"each": each, "gradients": self.gradients}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        for one, own in zip(self.each, state["each"], strict=True):
            load_state(one.executor, own)
        if self.executor.joint:
            self.executor.joint.sent = state["gradients"]
