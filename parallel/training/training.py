"""One training under one strategy, step by step: the loop that all worlds share.

training = Training(model, data, loss, optimizer, strategy, comm, batch_size=128, seed=0)
training.step()                   one step of all workers here
training.row()                    what is known now: loss, accuracy of the consensus, bytes, ...
training.state_dict()             to go on bitwise

    shards -> backward -> executor.before -> optimizer.step -> executor.after
"""

import copy
import re
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.nets.dropout import distinct
from harness.train.stepping import by_element, by_parameter
from parallel.executors import ahead, executor_of, held, shown
from parallel.pipeline.norms import no_old_norms
from parallel.replicas.consensus import broadcast
from parallel.replicas.hollow import fill
from parallel.replicas.optimizer import spread
from parallel.replicas.replicas import Looped, Stacked, replicas
from parallel.strategy.base import Strategy
from parallel.training.backward import Backward
from parallel.training.shards import Shards
from parallel.world.comm import Comm
from parallel.world.traffic import of_all, traffic_out

CHUNK = 1000  # samples of the test set at a time


class Training:
    """Workers that train; parallel.training.loop.train explains the arguments."""

    def __init__(
        self,
        model: nn.Module | Callable[[int], nn.Module],
        data: Data,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        strategy: Strategy,
        comm: Comm,
        *,
        batch_size: int,
        seed: int,
        reshuffle: bool = False,
        batches: Any = None,
        schedule: Callable[[int], float] | None = None,
        each: bool = False,
    ):
        self.data, self.comm = data, comm
        self.shards = Shards(len(data.train_y), comm.workers, batch_size, seed, reshuffle)
        self.executor = executor_of(strategy, comm, seed)
        needs_all(strategy, comm.elastic)
        models = starts(model, comm.ranks, strategy.same_start)
        distinct(models[0])
        if strategy.same_start:
            broadcast(models[0], comm)
        models = self.executor.cut(models, seed)
        members, stepper = together(models, optimizer, comm, None if batches else data.train_x)
        self.executor.attach(members)
        self.executor.accept(stepper)
        self.judge = shown(self.executor)
        self.pace = paced(schedule, stepper)
        self.done, self.samples, self.seconds = 0, 0, 0.0
        self.digest = self._digest(batch_size, reshuffle)
        comm.agree(0, self.digest, now=True)
        self.os_start = None if comm.alone else traffic_out()
        comm.told = 0.0  # (the common start is no telemetry)
        self.backward = Backward(members, data, loss, comm, seed, batches, each)
        self.backward.always = strategy.holds == "slices"

    @property
    def members(self) -> Stacked | Looped:
        """The models of the workers here."""
        return self.executor.members

    def _digest(self, *more: Any) -> int:
        """Return a number that differs where runs would."""
        sizes = [(k, tuple(p.shape)) for k, p in self.judge.named_parameters()]
        # (an object's address differs by process)
        strategy = re.sub(r" at 0x[0-9a-f]+", "", repr(self.executor.strategy))
        what = self.shards.seed, self.shards.samples, strategy, sizes, more
        return zlib.crc32(repr(what).encode())

    def step(self) -> None:
        """Make one local step of every worker here, with what the strategy has around it."""
        begin = time.perf_counter()
        self.done += 1
        index = self.shards.at(self.done)
        even = isinstance(index, torch.Tensor)
        counts = [index.shape[1]] * len(index) if even else [len(i) for i in index]
        self._begin_epoch()
        self.pace(self.done)
        mine = index if self.comm.alone else [index[r] for r in self.comm.ranks]
        ahead(self.executor, counts)
        self.backward(self.done, mine, self.executor.optimizer)
        self.executor.before(self.shards.seed, self.done, counts)
        self.executor.optimizer.step()
        self.executor.after()
        self.samples += sum(counts)
        self.seconds += time.perf_counter() - begin

    def _begin_epoch(self, resumed: bool = False) -> None:
        """Tell the pictures which epoch it is, where one begins."""
        epoch, first = divmod(max(0, self.done - 1), self.shards.steps)
        if self.backward.batches and (resumed or not first):
            self.backward.batches.begin(epoch)

    def row(self, tested: bool = True) -> dict[str, Any]:
        """Return what is known after this step; if `tested`, also of the consensus.

        That makes every worker send its weights once more, which `bytes_telemetry` counts.
        """
        self.comm.agree(self.done, self.digest, now=True)
        begin = time.perf_counter()
        looked = self._looked() if tested else {}
        losses, self.backward.losses = self.backward.losses, []
        found = {
            "step": self.done,
            "epoch": -(-self.done // self.shards.steps),
            "samples": self.samples,
            "train_loss": mean_loss(losses, self.comm),
            **looked,
            "bytes_theory": self.comm.workers * self.theory(),
            "bytes_planned": self.executor.planned,
            "bytes_payload": sum(self.comm.everyone(self.comm.sent)),
            "bytes_telemetry": sum(self.comm.everyone(self.comm.told)),
            **of_all(self.os_start, self.comm.everyone),
            "train_time": self.seconds,
            **held(self.executor),
            **self._between(),
        }
        return found | {"inference_time": time.perf_counter() - begin}

    def _looked(self) -> dict[str, Any]:
        """Return what the consensus answers, and how far workers are from it."""
        loss, accuracy = self.test()
        apart = self.executor.distance()
        return {"test_loss": loss, "test_accuracy": accuracy, "consensus_distance": apart}

    def theory(self) -> float:
        """Return the bytes per worker so far, by the strategy's formula."""
        strategy = self.executor.strategy
        return strategy.theory(self.executor.states.size(strategy.sends), self.done)

    def _between(self) -> dict[str, float]:
        """Return what of `bytes_theory` goes between machines, if the strategy knows of any."""
        strategy: Any = self.executor.strategy
        if not hasattr(strategy, "between"):
            return {}
        size = self.executor.states.size(strategy.sends)
        return {"bytes_between": strategy.between(size, self.done)}

    def notes(self) -> list[str]:
        """Return what the strategy has to say at the end, once for all ranks."""
        return self.executor.strategy.notes(*self.executor.tally) if self.comm.rank == 0 else []

    def test(self) -> tuple[float, float]:
        """Return mean loss and accuracy of the consensus on the test set."""
        fill(self.judge).load_state_dict(self.executor.consensus())
        return tested(self.judge, self.data, self.backward.loss)

    def worker_accuracies(self) -> list[float]:
        """Return the accuracy of each worker here, with its own weights."""
        here = range(self.members.size)
        return [tested(self.worker(i), self.data, self.backward.loss)[1] for i in here]

    def worker(self, i: int) -> nn.Module:
        """Return a model with one worker's weights (the same object for all)."""
        own = {k: v[i] for k, v in self.members.get("params").items()}
        own |= {k: v[i] for k, v in self.members.get("float_buffers").items()}
        fill(self.judge).load_state_dict(own, strict=False)
        return self.judge

    def state_dict(self) -> dict[str, Any]:
        """Return all that it takes to go on bitwise."""
        held = {"done": self.done, "samples": self.samples, "seconds": self.seconds}
        return {**held, "losses": self.backward.losses, "team": self.executor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict gave."""
        self.done, self.samples = state["done"], state["samples"]
        self.seconds, self.backward.losses = state["seconds"], list(state["losses"])
        self.executor.load_state_dict(state["team"])
        self.comm.agree(self.done, self.digest, now=True)
        self._begin_epoch(resumed=True)


def needs_all(strategy: Strategy, elastic: bool) -> None:
    """Refuse an elastic world to a strategy that cannot do without a worker.

    Raises:
        ValueError: names those that can.
    """
    if elastic and not strategy.elastic:
        raise ValueError(
            f"{type(strategy).__name__} cannot go on without a worker: take elastic=False, or "
            "a strategy that can (local, no_comm, ring, exponential, or a gossip)"
        )


def starts(
    model: nn.Module | Callable[[int], nn.Module], ranks: Sequence[int], same: bool
) -> list[nn.Module]:
    """Return a model per worker here: copies of one, or those a function makes by rank."""
    if isinstance(model, nn.Module):
        no_old_norms(model)
        return [copy.deepcopy(model) for _ in ranks]
    if same:
        first = model(0)
        return [first, *starts(first, ranks[1:], same)]
    return [model(rank) for rank in ranks]


def paced(schedule: Callable[[int], float] | None, optimizer: Any) -> Callable[[int], None]:
    """Return what sets a step's rates: those that the optimizer began with, times the schedule."""
    rates = [group["lr"] for group in optimizer.param_groups]

    def pace(step: int) -> None:
        factor = schedule(step) if schedule else 1.0
        for group, rate in zip(optimizer.param_groups, rates, strict=True) if schedule else ():
            group["lr"] = rate * factor

    return pace


def together(
    models: list[nn.Module], maker: Callable[..., Any], comm: Comm, samples: torch.Tensor | None
) -> tuple[Stacked | Looped, torch.optim.Optimizer]:
    """Return the models as rows, stacked where that is exact, and one optimizer for all.

    Raises:
        ValueError: an optimizer that looks across parameters would mix the workers here.
    """
    members = replicas(models)
    stepper = spread(maker, members)
    if isinstance(members, Stacked) and not (by_element(stepper) and runs(members, comm, samples)):
        members = Looped(models)  # such an optimizer would mix the workers of a stack
        stepper = spread(maker, members)
    if len(models) > 1 and not by_element(stepper) and not by_parameter(stepper):
        raise ValueError(
            f"{type(stepper).__name__}: its step looks at several parameters at once and would "
            "mix the workers of one process: use World.procs, where each has its own"
        )
    return members, stepper


def runs(members: Stacked, comm: Comm, samples: torch.Tensor | None) -> bool:
    """Return whether the stack takes samples at all (vmap refuses some code)."""
    if samples is None:
        return True
    x = samples[:1].expand(2, *samples.shape[1:])
    with torch.random.fork_rng(), torch.no_grad():
        try:
            copy.deepcopy(members).forward([x] * members.size, comm.ranks)
        except Exception:
            return False
    return True


def mean_loss(losses: Sequence[tuple[torch.Tensor, int]], comm: Comm) -> float:
    """Return the mean over all ranks' samples of (mean, samples) pairs; 0 without any."""
    total, samples = (sum(comm.everyone(v)) for v in summed(losses))
    return total / max(samples, 1)


def summed(losses: Sequence[tuple[torch.Tensor, int]]) -> tuple[float, float]:
    """Return the sum over the samples of (mean, samples) pairs, and how many there are."""
    return float(sum(float(loss) * n for loss, n in losses)), float(sum(n for _, n in losses))


@torch.no_grad()
def tested(net: nn.Module, data: Data, loss: Callable) -> tuple[float, float]:
    """Return mean loss and accuracy on the test set."""
    net.eval()
    total = right = 0.0
    parts = zip(data.test_x.split(CHUNK), data.test_y.split(CHUNK), strict=True)
    for x, y in parts:
        outputs = net(x)
        total += float(loss(outputs, y)) * len(y)
        right += int((outputs.argmax(-1) == y).sum())
    return total / len(data.test_y), right / len(data.test_y)
