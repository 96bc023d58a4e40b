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
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.nets.dropout import distinct
from parallel.pipeline.actions import Table
from parallel.pipeline.cut import free, timed
from parallel.pipeline.pipeline import Pipeline
from parallel.replicas.consensus import broadcast
from parallel.training.facts import facts
from parallel.training.maker import Maker
from parallel.training.minibatches import Minibatches
from parallel.training.pace import slow
from parallel.training.shards import Shards
from parallel.training.suited import suited
from parallel.training.training import starts, tested
from parallel.world.comm import Comm
from parallel.world.traffic import of_all, traffic_out

TIMED = "the net was cut by measured times: layer_split={} gives these stages, and numbers, again"


@dataclass
class Tally:
    """What has been done: updates, samples, seconds; losses of minibatches since the last row."""

    os_start: Any  # what the system had sent before
    done: int = 0
    samples: int = 0
    seconds: float = 0.0
    losses: list[tuple[torch.Tensor, int]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """All but the system's bytes."""
        found = {"done": self.done, "samples": self.samples, "seconds": self.seconds}
        return found | {"losses": list(self.losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.done, self.samples, self.seconds = state["done"], state["samples"], state["seconds"]
        self.losses = list(state["losses"])


class Pipelined:
    """Stages that train; see parallel.training.loop.train for the arguments.

    Args:
        steps: How many there will be (the table of a pipeline that never waits is made for all).
        resumable: Keep what a state_dict between two updates needs: for policies whose backward
            pass sees other weights, those of the forward pass.
        measured: Count and time what stages do, for facts(), also in a simulation; processes always
            do.
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
        measured: bool = False,
    ):
        alone, most = comm.alone, min(batch_size, len(data.train_y))
        suited(pipeline, loss, comm.workers, alone, comm.elastic, most)
        self.data, self.comm, self.pipeline, self.loss = data, comm, pipeline, loss
        shards = Shards(len(data.train_y), 1, batch_size, seed, reshuffle)
        self.shards = shards
        lanes = range(pipeline.replicas) if comm.alone else [comm.rank // pipeline.lane]
        batches = [self._minibatches(shards, (r, pipeline.replicas)) for r in lanes]
        self.steps = steps
        (model,) = starts(model, [0], True)
        distinct(model)
        table = pipeline.table(1 if pipeline.waits else steps)
        self.digest = self._digest(model, table, batch_size, reshuffle, pipeline.layer_split)
        comm.agree(0, self.digest, now=True)  # (before anything that differs could be waited for)
        broadcast(model, comm)
        self.model = model.train()
        self.tally = Tally(None if comm.alone else traffic_out())
        self.judge = copy.deepcopy(model)
        make = Maker(table, pipeline, comm, loss, optimizer, seed, resumable, measured)
        self.copies = make(model, batches, batch_size if free(pipeline.layer_split) else 2)
        self.executor = self.copies.executor
        self.digest = self._digest(model, table, batch_size, reshuffle, self.copies.split)
        comm.agree(0, self.digest, now=True)

    @property
    def done(self) -> int:
        """Updates of every stage here."""
        return self.tally.done

    @property
    def samples(self) -> int:
        """Those that these updates have seen."""
        return self.tally.samples

    @property
    def table(self) -> Table:
        """Who does what."""
        return self.executor.table

    def _minibatches(self, shards: Shards, replica: tuple[int, int]) -> Minibatches:
        return Minibatches(self.data, shards, self.pipeline.micro, self.pipeline.stages, replica)

    def _digest(self, model: nn.Module, table: Table, *more: Any) -> int:
        """A number that differs where runs would."""
        sizes = [(k, tuple(p.shape), str(p.dtype)) for k, p in model.named_parameters()]
        policy = re.sub(r" at 0x[0-9a-f]+", "", repr(self.pipeline.policy))
        targets = zlib.crc32(self.data.train_y.cpu().contiguous().numpy().tobytes())
        data = self.shards.seed, tuple(self.data.train_x.shape), targets
        how = self.pipeline
        pipeline = policy, table.digest, table.micro, how.clip, how.replicas
        return zlib.crc32(repr((sizes, pipeline, data, more)).encode())

    def step(self) -> None:
        """One update of every stage here."""
        if self.done >= self.steps:
            raise ValueError(f"this training has {self.steps} steps, and all are done")
        begin = time.perf_counter()
        t = 0 if self.pipeline.waits else self.done
        if self.pipeline.waits:
            self.copies.restart(first=self.done)
        count = self.copies.size(t)
        self.executor.until(t)
        self.comm.at = f"the end of step {self.done + 1}"  # (where ranks meet again)
        tally = self.tally
        tally.losses += self.copies.losses(t)
        tally.done += 1
        tally.samples += count
        seconds = time.perf_counter() - begin
        tally.seconds += seconds
        self.copies.passed(count, seconds)

    def row(self, tested: bool = True) -> dict[str, Any]:
        """What is known after this step; if `tested`, also of the net of this step."""
        self.comm.agree(self.done, self.digest, now=True)
        begin = time.perf_counter()
        looked = (
            dict(zip(("test_loss", "test_accuracy"), self.test(), strict=True)) if tested else {}
        )
        losses, self.tally.losses = self.tally.losses, []
        found = {
            "step": self.done,
            "epoch": -(-self.done // self.shards.steps),
            "samples": self.samples,
            "train_loss": self.copies.mean(losses),
            **looked,
            **self.copies.bytes(),
            **of_all(self.tally.os_start, self.comm.everyone),
            "idle_measured": self.copies.idle(),
            "train_time": self.tally.seconds,
        }
        return found | {"inference_time": time.perf_counter() - begin}

    def consensus(self) -> dict[str, torch.Tensor]:
        """The state dict of the net after the last update of every stage; whole on rank 0."""
        return self.copies.consensus(self.model)

    def test(self) -> tuple[float, float]:
        """Mean loss and accuracy on the test set, as rank 0 finds them."""
        self.judge.load_state_dict(self.consensus())
        found = tested(self.judge, self.data, self.loss) if self.comm.rank == 0 else (0.0, 0.0)
        loss, accuracy = (self.comm.everyone(v)[0] for v in found)
        return loss, accuracy

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank, to go on bitwise."""
        held = {"tally": self.tally.state_dict(), "split": self.copies.split, "digest": self.digest}
        return held | {"copies": self.copies.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse.

        Raises:
            ValueError: it is of another run.
        """
        if state["digest"] != self.digest:
            raise ValueError(
                "this state is of another run: net, cut (layer_split), schedule, micro, policy, "
                "clip, seed, data, batch_size and, where nothing waits, steps have to agree (cut "
                f"at layer_split={state['split']}, here {self.copies.split})"
            )
        self.tally.load_state_dict(state["tally"])
        self.copies.load_state_dict(state["copies"])
        self.comm.agree(self.done, self.digest, now=True)

    @property
    def layer_split(self) -> list[int]:
        """Where the net is cut."""
        return self.copies.split

    def notes(self) -> list[str]:
        """Return what has to be said at the end, on rank 0.

        Which stage the others wait for; where the net was cut, if times have said it.
        """
        said = [TIMED.format(self.layer_split)] * timed(self.pipeline.layer_split)
        return said + slow(self.copies) if self.comm.rank == 0 else []

    def facts(self) -> dict[str, Any]:
        """Return what the pipeline is and was, for all ranks together: parallel.training.facts.

        Raises:
            ValueError: nothing was counted.
        """
        if not self.copies.measured:
            raise ValueError(
                "facts() of a simulation: nothing was counted or timed, as that costs time in each "
                "step; make it with Pipelined(..., measured=True)"
            )
        return facts(self.copies, self.done, self.samples)
