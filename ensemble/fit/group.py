"""Members that are trained side by side, epoch by epoch: several as one stack, or one alone.

A member's order, noise and samples come from its own seed, so it does not depend on its companions
beyond rounding. What an epoch has begun is undone if it is interrupted: the state of a group is
always that of a whole number of epochs.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ensemble.fit.stacking import NORMS, Stacked
from ensemble.fit.task import Task, Way
from harness.seeding import order, seeded
from harness.train.fit import take

LONELY = "more than 1 value per channel"  # as torch says it
LONELY_SAID = "batch norm cannot learn from a batch of one sample: take two or more"


class Group:
    """Members in training.

    Args:
        nets: The members: a Stacked, or a single module.
        seeds: One per member.
        task: What they learn.
        weights: Of the losses, (members, samples), of mean 1 each; None: all 1.
        index: Which samples each member sees, (members, count); None: all.
        repeats: How often a batch is stepped on, by the largest number of its samples (samples,).
    """

    def __init__(
        self,
        nets: Stacked | nn.Module,
        seeds: Sequence[int],
        task: Task,
        weights: torch.Tensor | None = None,
        index: torch.Tensor | None = None,
        repeats: torch.Tensor | None = None,
    ):
        self.stack = nets if isinstance(nets, Stacked) else None
        self.net: nn.Module = nets.net if isinstance(nets, Stacked) else nets
        self.seeds, self.task, self.repeats = list(seeds), task, repeats
        device = task.x.device
        self.weights = None if weights is None else weights.to(device)
        self.index = None if index is None else index.to(device)
        self.sources = [task.batches(seed) for seed in self.seeds] if task.batches else None
        self.optimizer = task.made_optimizer(self.net.parameters())
        self.steps = len(self.cut(torch.empty(self._samples())))
        total = self.steps * task.epochs
        self.way = self._made_way(total)
        self.schedule = task.schedule(self.optimizer, total) if task.schedule else None
        self.epoch = 0

    def _made_way(self, total: int) -> Way | None:
        if not self.task.way:
            return None
        assert not self.stack, "a stack has no net of one member"
        (seed,) = self.seeds
        return self.task.way(self.net, self.optimizer, total, seed)

    def run(self) -> torch.Tensor:
        """Train one epoch; returns the losses (steps, members), on the CPU."""
        kept = copy.deepcopy(self.state_dict())
        try:
            losses = self._epoch()
        except BaseException as error:  # (also Ctrl-C: half an epoch is none)
            self.load_state_dict(kept)
            if LONELY in str(error):
                raise ValueError(f"{LONELY_SAID}; got batch_size={self._size()}") from error
            raise
        self.epoch += 1
        if self.stack:
            self.stack.write()
        return losses

    def _epoch(self) -> torch.Tensor:
        self.net.train()
        for source in self.sources or ():
            source.begin(self.epoch)
        alone = len(self.seeds) == 1
        with seeded(self.seeds[0], "noise", self.epoch) if alone else nullcontext():
            return torch.stack([self._batch(index) for index in self.cut(self._order().T)]).cpu()

    def _batch(self, index: torch.Tensor) -> torch.Tensor:
        """Step on the samples (batch, members); returns the loss of each member."""
        index = index.T.contiguous()
        times = 1 if self.repeats is None else int(self.repeats[index.cpu()].max())
        losses = torch.stack([self._step(index) for _ in range(times)]).mean(0)
        if self.schedule:
            self.schedule.step()
        return losses

    def _step(self, index: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with self.way or nullcontext():
            losses = self._losses(index)
            losses.sum().backward()
        (self.way or self.optimizer).step()
        return losses.detach()

    def _losses(self, index: torch.Tensor) -> torch.Tensor:
        x, y = self._draw(index)
        logits = self.net(x) if self.stack else self.net(x[0])[None]
        # (torch is some ten times slower where the classes are the last axis and few)
        each = F.cross_entropy(logits.mT, y, reduction="none")
        if self.weights is not None:
            each = each * self.weights.gather(1, index).to(each)
        return each.mean(1)

    def _draw(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.sources:
            return take(self.task.x, index), take(self.task.y, index)
        pairs = [source.draw(part) for source, part in zip(self.sources, index, strict=True)]
        return torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs])

    def _size(self) -> int:
        return min(self.task.batch_size, self._samples())

    def _samples(self) -> int:
        return len(self.task.x) if self.index is None else self.index.shape[1]

    def _order(self) -> torch.Tensor:
        """Return the samples of this epoch, (members, count)."""
        n, device = self._samples(), self.task.x.device
        if self.task.shuffle:
            orders = torch.stack([order(seed, self.epoch, n) for seed in self.seeds]).to(device)
        else:
            orders = torch.arange(n, device=device).expand(len(self.seeds), n)
        return orders if self.index is None else self.index.gather(1, orders)

    def cut(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return batches; batch norm cannot learn from a last one of a single sample."""
        parts = list(rows.split(self.task.batch_size))
        lonely = len(parts) > 1 and len(parts[-1]) == 1
        if lonely and any(isinstance(m, NORMS) for m in self.net.modules()):
            parts[-2:] = [torch.cat(parts[-2:])]
        return parts

    def state_dict(self) -> dict[str, Any]:
        """Return what the group needs to go on from here."""
        parts: dict[str, Any] = {"net": self.net, "way": self.way, "optimizer": self.optimizer}
        parts["schedule"] = self.schedule
        state = {name: part.state_dict() for name, part in parts.items() if part is not None}
        return {**state, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        if self.way:  # (first: masks that are tighter than those of then would empty the net)
            self.way.load_state_dict(state["way"])
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch = state["epoch"]
        if self.stack:
            self.stack.write()
