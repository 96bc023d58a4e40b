"""One training under one strategy, step by step: the loop that all worlds share.

training = Training(model, data, loss, optimizer, strategy, comm, batch_size=128, seed=0)
training.step()                   one step of all workers here
training.row()                    what is known now: loss, accuracy of the consensus, bytes, ...
training.state_dict()             to go on bitwise
"""

import copy
import re
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.nets.dropout import KeyedDropout, distinct, set_key
from harness.seeding import derive
from parallel.replicas.executor import Executor, share
from parallel.replicas.optimizer import by_element, by_parameter, spread
from parallel.replicas.replicas import Looped, Stacked, replicas
from parallel.strategy.base import Strategy
from parallel.training.shards import Shards
from parallel.world.comm import Comm
from parallel.world.traffic import traffic_out

CHUNK = 1000  # samples of the test set at a time


class Training:
    """Workers that train; see parallel.training.loop.train for the arguments."""

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
        self.data, self.loss, self.comm, self.seed = data, loss, comm, seed
        self.batches, self.schedule = batches, schedule
        self.shards = Shards(len(data.train_y), comm.workers, batch_size, seed, reshuffle)
        strategy.init(comm.workers)
        if comm.elastic and not strategy.elastic:
            raise ValueError(
                f"{type(strategy).__name__} cannot go on without a worker: take elastic=False, or "
                "a strategy that can (local, no_comm, elastic_gossip, gossip_pull, gossip_push)"
            )
        models = starts(model, comm.ranks, strategy.same_start)
        distinct(models[0])
        if strategy.same_start:
            share(models[0], comm)
        models = strategy.cut(models, comm, seed)
        self.members = replicas(models)
        stepper = spread(optimizer, self.members)
        if isinstance(self.members, Stacked) and not (by_element(stepper) and self._runs()):
            self.members = Looped(models)  # such an optimizer would mix the workers of a stack
            stepper = spread(optimizer, self.members)
        if len(models) > 1 and not by_element(stepper) and not by_parameter(stepper):
            raise ValueError(
                f"{type(stepper).__name__}: its step looks at several parameters at once and would "
                "mix the workers of one process: use World.procs, where each has its own"
            )
        self.executor = Executor(self.members, stepper, strategy, comm)
        strategy.accept(stepper)
        self.judge = strategy.whole or copy.deepcopy(self.members.template)
        self.each = each or not plain_mean(loss, data.train_y)  # one call of the loss per worker
        self.reached: list[str] = []
        self.latest: list[Any] = []  # losses of the last step, by worker, if asked for by `each`
        self.rates = [group["lr"] for group in self.executor.optimizer.param_groups]
        self.done, self.samples, self.seconds = 0, 0, 0.0
        self.losses: list[tuple[torch.Tensor, int]] = []  # means, and of how many samples
        self.digest = self._digest(batch_size, reshuffle)
        comm.agree(0, self.digest, now=True)
        self.os_start = None if comm.alone else traffic_out()
        self.keyed = [
            layer
            for module in self.members.modules()
            for layer in module.modules()
            if isinstance(layer, KeyedDropout)
        ]
        for module in self.members.modules():
            set_key(module, seed=seed, workers=list(comm.ranks))
            module.train()
        if isinstance(getattr(self.members, "models", None), list):
            for rank, module in zip(comm.ranks, self.members.modules(), strict=True):
                set_key(module, workers=[rank])

    def _digest(self, *more: Any) -> int:
        """A number that differs where runs would."""
        sizes = [(k, tuple(p.shape)) for k, p in self.judge.named_parameters()]
        strategy = re.sub(
            r" at 0x[0-9a-f]+", "", repr(self.executor.strategy)
        )  # (differs by process)
        what = self.seed, self.shards.samples, strategy, sizes, more
        return zlib.crc32(repr(what).encode())

    def step(self) -> None:
        """One local step of every worker here, and what the strategy does around it."""
        begin = time.perf_counter()
        self.done += 1
        index = self.shards.at(self.done)
        even = isinstance(index, torch.Tensor)
        counts = [index.shape[1]] * len(index) if even else [len(i) for i in index]
        for module in self.keyed:
            module.step = self.done
        if self.batches and (self.done - 1) % self.shards.steps == 0:
            self.batches.begin((self.done - 1) // self.shards.steps)
        if self.schedule:
            factor = self.schedule(self.done)
            for group, rate in zip(self.executor.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        self._gradients(index if self.comm.alone else [index[r] for r in self.comm.ranks])
        self.executor.before(self.seed, self.done, counts)
        self.executor.strategy.local(self.executor.optimizer)
        self.executor.after()
        self.samples += sum(counts)
        self.seconds += time.perf_counter() - begin

    def _gradients(self, index: torch.Tensor | list[torch.Tensor]) -> None:
        """Of each worker's mean loss over its own samples."""
        optimizer, callers = self.executor.optimizer, torch.default_generator.get_state()
        # What noise a layer of torch draws (nn.Dropout) is a function of seed, step and rank.
        torch.default_generator.manual_seed(derive(self.seed, "noise", self.done, self.comm.rank))
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(torch.initial_seed())
        optimizer.zero_grad(set_to_none=True)
        if isinstance(index, list) and len(index) == 1:
            index = index[0].unsqueeze(0)
        even = isinstance(index, torch.Tensor) and not self.each
        losses = self._even(index) if even else self._uneven(list(index))  # pyright: ignore
        if losses is None:
            self._nothing()
        else:
            losses.backward()
            self.members.fill_gradients(everywhere=False)
            self.reached = self.reached if self.comm.alone else list(self.members.get("gradients"))
        torch.default_generator.set_state(callers)

    def _runs(self) -> bool:
        """Whether the stack takes samples at all (vmap refuses some code)."""
        if self.batches:
            return True
        x = self.data.train_x[:1].expand(2, *self.data.train_x.shape[1:])
        with torch.random.fork_rng(), torch.no_grad():
            try:
                copy.deepcopy(self.members).forward([x] * self.members.size, self.comm.ranks)
            except Exception:
                return False
        return True

    def _nothing(self) -> None:
        """A rank without samples: gradient zero, where a loss reaches."""
        model = self.members.template
        if not self.reached:
            model.eval()
            self.loss(model(self.data.train_x[:1]), self.data.train_y[:1]).backward()
            model.train()
            self.reached = list(self.members.get("gradients"))
        for name, p in model.named_parameters():
            p.grad = torch.zeros_like(p) if name in self.reached else None

    def _even(self, index: torch.Tensor) -> torch.Tensor | None:
        """The sum of the workers' means; one call of the loss over all of them."""
        n, b = index.shape
        if b == 0:
            return None
        x, y = self._take(index)
        outputs = self.members.forward(x, self.comm.ranks)
        flat = outputs.flatten(0, 1) if isinstance(outputs, torch.Tensor) else torch.cat(outputs)
        mean = self.loss(flat, y.flatten(0, 1))
        self.losses.append((mean.detach(), n * b))
        return mean * n

    def _uneven(self, index: Sequence[torch.Tensor]) -> torch.Tensor | None:
        pairs = [self._take(i) for i in index]
        outputs = self.members.forward([x for x, _ in pairs], self.comm.ranks)
        here = zip(outputs, pairs, strict=True)
        found = [self.loss(o, y) if len(y) else None for o, (_, y) in here]
        self.latest = [None if loss is None else float(loss.detach()) for loss in found]
        each = [loss for loss in found if loss is not None]
        if not each:
            return None
        self.losses += [
            (loss.detach(), len(y))
            for loss, (_, y) in zip(found, pairs, strict=True)
            if loss is not None
        ]
        return torch.stack(each).sum()

    def _take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples by index (any shape)."""
        flat = index.reshape(-1).to(self.data.train_y.device)
        if self.batches:
            x, y = self.batches.draw(flat)
        else:
            x, y = self.data.train_x.index_select(0, flat), self.data.train_y.index_select(0, flat)
        return x.view(*index.shape, *x.shape[1:]), y.view(index.shape)

    def row(self) -> dict[str, Any]:
        """What is known after this step; the consensus is tested."""
        self.comm.agree(self.done, self.digest, now=True)
        begin = time.perf_counter()
        loss, accuracy = self.test()
        own = sum(float(loss) * n for loss, n in self.losses), sum(n for _, n in self.losses)
        total, samples = (sum(self.comm.everyone(float(v))) for v in own)
        found = {
            "step": self.done,
            "epoch": -(-self.done // self.shards.steps),
            "samples": self.samples,
            "train_loss": total / max(samples, 1),
            "test_loss": loss,
            "test_accuracy": accuracy,
            "bytes_theory": self.comm.workers * self.theory(),
            "bytes_planned": self.executor.planned,
            "bytes_payload": sum(self.comm.everyone(self.comm.sent)),
            "bytes_os": traffic_out(self.os_start),
            "consensus_distance": self.executor.strategy.distance(self.executor),
            "train_time": self.seconds,
        }
        self.losses = []
        return found | {"inference_time": time.perf_counter() - begin}

    def theory(self) -> float:
        """Bytes per worker so far, by the strategy's formula."""
        return self.executor.strategy.theory(self.executor.state_size(), self.done)

    def test(self) -> tuple[float, float]:
        """Mean loss and accuracy of the consensus on the test set."""
        self.judge.load_state_dict(self.executor.consensus())
        return tested(self.judge, self.data, self.loss)

    def worker_accuracies(self) -> list[float]:
        """Of each worker here, with its own weights."""
        here = range(self.members.size)
        return [tested(self.worker(i), self.data, self.loss)[1] for i in here]

    def worker(self, i: int) -> nn.Module:
        """A model with the weights of one worker here (the same object for all)."""
        own = {k: v[i] for k, v in self.members.get("params").items()}
        own |= {k: v[i] for k, v in self.members.get("float_buffers").items()}
        self.judge.load_state_dict(own, strict=False)
        return self.judge

    def state_dict(self) -> dict[str, Any]:
        """Everything, to go on bitwise."""
        held = {"done": self.done, "samples": self.samples, "seconds": self.seconds}
        return {**held, "losses": self.losses, "team": self.executor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.done, self.samples = state["done"], state["samples"]
        self.seconds, self.losses = state["seconds"], list(state["losses"])
        self.executor.load_state_dict(state["team"])
        self.comm.agree(self.done, self.digest, now=True)
        if self.batches:
            self.batches.begin(max(0, self.done - 1) // self.shards.steps)


def starts(
    model: nn.Module | Callable[[int], nn.Module], ranks: Sequence[int], same: bool
) -> list[nn.Module]:
    """One model per worker here: copies of one, or those that a function makes by rank."""
    if isinstance(model, nn.Module):
        return [copy.deepcopy(model) for _ in ranks]
    if same:
        return starts(model(0), ranks, same)
    return [model(rank) for rank in ranks]


@torch.no_grad()
def tested(net: nn.Module, data: Data, loss: Callable) -> tuple[float, float]:
    """Mean loss and accuracy on the test set."""
    net.eval()
    total = right = 0.0
    parts = zip(data.test_x.split(CHUNK), data.test_y.split(CHUNK), strict=True)
    for x, y in parts:
        outputs = net(x)
        total += float(loss(outputs, y)) * len(y)
        right += int((outputs.argmax(-1) == y).sum())
    return total / len(data.test_y), right / len(data.test_y)


MEANS = (F.cross_entropy, F.nll_loss, F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss)
MODULES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


def plain_mean(loss: Any, targets: torch.Tensor) -> bool:
    """Whether it is known to be a mean in which every sample counts alike.

    Then one call over all workers says what one call for each would.
    """
    if isinstance(loss, partial) and loss.keywords.keys() <= {"label_smoothing"} and not loss.args:
        loss = loss.func
    if type(loss) in MODULES:
        alike = getattr(loss, "reduction", "") == "mean" and getattr(loss, "weight", None) is None
    else:
        alike = loss in MEANS
    left_out = getattr(loss, "ignore_index", -100)
    return alike and (targets.is_floating_point() or not bool((targets == left_out).any()))
