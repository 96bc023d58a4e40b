"""Many seeds of one net in stages, trained at once: `Pipelined`, with a leading axis everywhere.

    alone                 as a stack of seeds
    x (B, in)             x (seeds, B, in), each seed's samples in its own order
    loss                  one for each seed; its gradient reaches that seed's slices only
    not finite: refused   not finite: that seed is lost, its slices are handed on as zeros

So a seed's numbers are those that it has alone, but for rounding. It goes with layers that keep the
axis apart (harness.stack) and optimizers that work element by element.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.stack import stack
from harness.train.fit import evaluate, member_losses, take
from parallel.pipeline.actions import Action
from parallel.pipeline.channel import Channel
from parallel.pipeline.pipeline import Pipeline
from parallel.training.pipelined import Pipelined
from parallel.training.shards import Shards
from parallel.world.comm import Comm, NotFinite

TOLD = "train_loss", "test_loss", "test_accuracy"


class Lanes(Channel):
    """Boundaries of a simulation where a slice that is not finite is handed on as zeros.

    `lost` says for each slice whether that has happened.
    """

    lost: torch.Tensor

    def send(self, action: Action, value: torch.Tensor) -> None:
        """Hand on what an action gives."""
        try:
            super().send(action, value)
        except NotFinite:
            fine = value.isfinite().flatten(1).all(1)
            self.lost |= ~fine
            super().send(action, value.where(fine.view(-1, *[1] * (value.dim() - 1)), 0.0))


class Seeds(Pipelined):
    """One training for each seed; see `Pipelined`.

    Args:
        models: One for each seed, rows of stages.
        seeds: Of the order of the samples.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        data: Data,
        optimizer: Callable[..., torch.optim.Optimizer],
        pipeline: Pipeline,
        *,
        batch_size: int,
        seeds: Sequence[int],
        steps: int,
    ):
        self.seeds, samples = list(seeds), len(data.train_y)
        self.orders = [Shards(samples, 1, batch_size, seed) for seed in seeds]
        self.epochs: dict[int, tuple[torch.Tensor, ...]] = {}  # of all seeds, those in use
        super().__init__(
            stack(models),
            data,
            member_losses,
            optimizer,
            pipeline,
            Comm(pipeline.ranks),
            batch_size=batch_size,
            seed=self.seeds[0],
            steps=steps,
            resumable=True,
        )
        lanes = Lanes(self.comm, self.table, self._samples, data.train_x.device)
        lanes.lost = torch.zeros(len(self.seeds), dtype=torch.bool)
        self.channel = self.executor.channel = self.lanes = lanes

    def _digest(self, *more: Any) -> int:
        return super()._digest(self.seeds, *more)

    def _feed(self, t: int, j: int) -> tuple[torch.Tensor, torch.Tensor, float]:
        epoch, k = divmod(t + (self.done if self.pipeline.waits else 0), self.shards.steps)
        index = self._epoch(epoch)[k]
        own = index.tensor_split(self.pipeline.micro, dim=1)[j].to(self.data.train_y.device)
        x, y = take(self.data.train_x, own), take(self.data.train_y, own)
        return x, y, own.shape[1] / index.shape[1]

    def _epoch(self, epoch: int) -> tuple[torch.Tensor, ...]:
        """Samples (seeds, batch) of each step."""
        if epoch not in self.epochs:
            self.epochs = {e: v for e, v in self.epochs.items() if e == epoch - 1}
            steps = range(epoch * self.shards.steps, (epoch + 1) * self.shards.steps)
            each = [torch.cat([order.at(i + 1)[0] for i in steps]) for order in self.orders]
            self.epochs[epoch] = torch.stack(each).split(self.shards.batch, dim=1)
        return self.epochs[epoch]

    @property
    def over(self) -> bool:
        """Whether all seeds are lost."""
        return bool(self.lanes.lost.all())

    def rows(self) -> list[dict[str, Any]]:
        """What is known after this step of each seed: losses and accuracy; NaN of a lost one."""
        if self.over:
            return [dict.fromkeys(TOLD, float("nan")) for _ in self.seeds]
        self.judge.load_state_dict(self.consensus())
        found = evaluate(self.judge, self.data.test_x, self.data.test_y, len(self.seeds))
        total = torch.stack([loss * n for loss, n in self.losses]).double().sum(0)
        mean = total / sum(n for _, n in self.losses)
        self.losses = []
        self.lanes.lost |= ~(mean.isfinite() & found[0].isfinite())
        lost = self.lanes.lost.tolist()
        columns = zip(mean.tolist(), *(v.tolist() for v in found), lost, strict=True)
        return [
            dict.fromkeys(TOLD, float("nan")) if gone else dict(zip(TOLD, values, strict=True))
            for *values, gone in columns
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything, to go on bitwise."""
        return {**super().state_dict(), "lost": self.lanes.lost}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        super().load_state_dict(state)
        self.lanes.lost = state["lost"].clone()
