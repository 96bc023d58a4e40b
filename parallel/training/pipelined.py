"""One training of a net in stages, step by step: the face of `Training`, for a pipeline.

    training = Pipelined(model, data, loss, optimizer, pipeline, comm, batch_size=128, seed=0,
                         steps=90)
    training.step()          until every stage here has made its next update
    training.row()           the net after that update of *every* stage: loss, accuracy, bytes, ...
    training.state_dict()    to go on bitwise, with what is in flight

A pipeline need not drain for a row: each rank stops behind its own update, where nothing that it
still holds has changed the weights. So a row is the same in every world.
"""

import copy
import re
import time
import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.nets.dropout import distinct
from parallel.pipeline.actions import Action
from parallel.pipeline.build import built
from parallel.pipeline.channel import Channel
from parallel.pipeline.executor import Batch, Executor
from parallel.pipeline.gather import gathered
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.resume import load_state, saved_state
from parallel.training.shards import Shards
from parallel.training.training import starts, tested
from parallel.world.comm import Comm
from parallel.world.traffic import traffic_out


class Pipelined:
    """Stages that train; see parallel.training.loop.train for the arguments.

    Args:
        steps: How many there will be (the table of a pipeline that never waits is made for all).
        resumable: Keep what a state_dict between two updates needs: for policies whose backward
            pass sees other weights, those of the forward pass.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[int], nn.Module],
        data: Data,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        pipeline: Pipeline,
        comm: Comm,
        *,
        batch_size: int,
        seed: int,
        steps: int,
        reshuffle: bool = False,
        resumable: bool = False,
    ):
        if comm.workers != pipeline.ranks:
            raise ValueError(
                f"{pipeline.stages} stages on {pipeline.ranks} ranks, and this world has "
                f"{comm.workers}: take World.sim({pipeline.ranks}), World.procs({pipeline.ranks}) "
                f"or torchrun --nproc-per-node={pipeline.ranks}"
            )
        if comm.elastic:
            raise ValueError("a pipeline cannot go on without a stage: take elastic=False")
        self.data, self.comm, self.pipeline, self.loss = data, comm, pipeline, loss
        self.shards = Shards(len(data.train_y), 1, batch_size, seed, reshuffle)
        self.steps = steps
        (model,) = starts(model, [0], True)
        distinct(model)
        self.model = model.train()
        self.done, self.samples, self.seconds = 0, 0, 0.0
        self.table = pipeline.table(1 if pipeline.waits else steps)
        self.parts, stages = built(
            model, pipeline, self.table, comm, data.train_x[:batch_size], optimizer, loss, seed
        )
        for stage in stages.values():
            stage.resumable = resumable
        self.channel = Channel(comm, self.table, self._samples, data.train_x.device)
        self.executor = Executor(self.table, stages, self.channel, self._feed, comm, pipeline)
        self.judge = copy.deepcopy(model)
        self.losses: list[tuple[torch.Tensor, int]] = []
        self.digest = self._digest(batch_size, reshuffle)
        comm.agree(0, self.digest, now=True)
        self.os_start = None if comm.alone else traffic_out()

    def _digest(self, *more: Any) -> int:
        """A number that differs where runs would."""
        sizes = [(k, tuple(p.shape)) for k, p in self.model.named_parameters()]
        policy = re.sub(r" at 0x[0-9a-f]+", "", repr(self.pipeline.policy))
        what = self.shards.seed, self.shards.samples, policy, sizes, self.parts.split
        return zlib.crc32(repr((what, self.table.digest, more)).encode())

    def _index(self, t: int) -> torch.Tensor:
        """Samples of minibatch t of the table."""
        first = self.done if self.pipeline.waits else 0
        return self.shards.at(first + t + 1)[0]

    def _size(self, t: int) -> int:
        """Samples of minibatch t; fewer in the last of an epoch."""
        first = self.done if self.pipeline.waits else 0
        before = (first + t) % self.shards.steps * self.shards.batch
        return min(self.shards.batch, self.shards.samples - before)

    def _samples(self, t: int, j: int) -> int:
        """Of a micro-batch."""
        n, m = self._size(t), self.pipeline.micro
        return n // m + (j < n % m)

    def _feed(self, action: Action) -> Batch:
        """A micro-batch: inputs of the first stage, targets of the last, share of its minibatch."""
        stage, _, t, j = action
        share = self._samples(t, j) / self._size(t)
        first, last = stage == 0, stage == self.table.stages - 1
        if not first and not last:
            return None, None, share
        own = self._index(t).tensor_split(self.pipeline.micro)[j].to(self.data.train_y.device)
        x = self.data.train_x.index_select(0, own) if first else None
        return x, self.data.train_y.index_select(0, own) if last else None, share

    def step(self) -> None:
        """One update of every stage here."""
        if self.done >= self.steps:
            raise ValueError(f"this training has {self.steps} steps, and all are done")
        begin = time.perf_counter()
        t = 0 if self.pipeline.waits else self.done
        if self.pipeline.waits:
            self.executor.restart(first=self.done)
        count = self._size(t)
        self.executor.until(t)
        self.losses += [(loss, count) for loss in self.executor.loss(t)]
        self.done += 1
        self.comm.at = f"step {self.done}"
        self.samples += count
        self.seconds += time.perf_counter() - begin

    def row(self) -> dict[str, Any]:
        """What is known after this step; the net of this step is tested."""
        self.comm.agree(self.done, self.digest, now=True)
        begin = time.perf_counter()
        loss, accuracy = self.test()
        own = sum(float(v) * n for v, n in self.losses), sum(n for _, n in self.losses)
        self.losses = []
        total, samples = (sum(self.comm.everyone(float(v))) for v in own)
        found = {
            "step": self.done,
            "epoch": -(-self.done // self.shards.steps),
            "samples": self.samples,
            "train_loss": total / max(samples, 1),
            "test_loss": loss,
            "test_accuracy": accuracy,
            "bytes_payload": sum(self.comm.everyone(self.comm.sent)),
            "bytes_os": traffic_out(self.os_start),
            "train_time": self.seconds,
        }
        return found | {"inference_time": time.perf_counter() - begin}

    def consensus(self) -> dict[str, torch.Tensor]:
        """The state dict of the net after the last update of every stage; whole on rank 0."""
        return gathered(self.model, self.table, self.parts, self.comm)

    def test(self) -> tuple[float, float]:
        """Mean loss and accuracy on the test set, as rank 0 finds them."""
        self.judge.load_state_dict(self.consensus())
        found = tested(self.judge, self.data, self.loss) if self.comm.rank == 0 else (0.0, 0.0)
        loss, accuracy = (self.comm.everyone(v)[0] for v in found)
        return loss, accuracy

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank, to go on bitwise."""
        held = {"done": self.done, "samples": self.samples, "seconds": self.seconds}
        held |= {"losses": self.losses, "split": self.parts.split, "digest": self.digest}
        return {**held, "pipeline": saved_state(self.executor)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse.

        Raises:
            ValueError: it is of another run.
        """
        if state["digest"] != self.digest:
            raise ValueError(
                "this state is of another run: net, cut (layer_split), schedule, policy, seed, "
                "data and batch_size have to agree (cut at "
                f"{state['split']}, here {self.parts.split})"
            )
        self.done, self.samples = state["done"], state["samples"]
        self.seconds, self.losses = state["seconds"], list(state["losses"])
        load_state(self.executor, state["pipeline"])
        self.comm.agree(self.done, self.digest, now=True)

    def notes(self) -> list[str]:
        """Nothing has to be said at the end."""
        return []
