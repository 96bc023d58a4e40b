"""Many seeds of one net in stages, trained at once: `Pipelined`, with a leading axis everywhere.

    alone               as a stack of seeds
    x (B, in)           x (seeds, B, in), each seed's samples in its own order
    loss                one for each seed; its gradient reaches that seed's slices only
    NaN or infinity     that seed is lost, and the others go on; with the last one it is over

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
from parallel.pipeline.executor import Batch
from parallel.pipeline.pipeline import Pipeline
from parallel.training.pipelined import Pipelined
from parallel.training.shards import Shards
from parallel.world.comm import Comm, NotFinite

TOLD = "train_loss", "test_loss", "test_accuracy"


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
        self.lost = torch.zeros(len(self.seeds), dtype=torch.bool)

    def _digest(self, *more: Any) -> int:
        return super()._digest(self.seeds, *more)

    def _feed(self, action: Action) -> Batch:
        stage, _, t, j = action
        share = self._samples(t, j) / self._size(t)
        first, last = stage == 0, stage == self.table.stages - 1
        if not first and not last:
            return None, None, share
        epoch, k = divmod(t + (self.done if self.pipeline.waits else 0), self.shards.steps)
        own = self._epoch(epoch)[k].tensor_split(self.pipeline.micro, dim=1)[j]
        x = take(self.data.train_x, own) if first else None
        return x, take(self.data.train_y, own) if last else None, share

    def step(self) -> None:
        """One update of every stage, for every seed; nothing once all are lost."""
        if not self.over:
            try:
                super().step()
            except NotFinite:
                self.lost.fill_(True)

    def _epoch(self, epoch: int) -> tuple[torch.Tensor, ...]:
        """Samples (seeds, batch) of each step."""
        if epoch not in self.epochs:
            self.epochs = {e: v for e, v in self.epochs.items() if e == epoch - 1}
            steps = range(epoch * self.shards.steps, (epoch + 1) * self.shards.steps)
            each = [torch.cat([order.at(i + 1)[0] for i in steps]) for order in self.orders]
            both = torch.stack(each).to(self.data.train_y.device)
            self.epochs[epoch] = both.split(self.shards.batch, dim=1)
        return self.epochs[epoch]

    @property
    def over(self) -> bool:
        """Whether all seeds are lost."""
        return bool(self.lost.all())

    def rows(self) -> list[dict[str, Any]]:
        """What is known after this step of each seed: losses and accuracy; NaN of a lost one."""
        if self.over:
            return [dict.fromkeys(TOLD, float("nan")) for _ in self.seeds]
        self.judge.load_state_dict(self.consensus())
        found = evaluate(self.judge, self.data.test_x, self.data.test_y, len(self.seeds))
        total = torch.stack([loss * n for loss, n in self.losses]).double().sum(0)
        mean = total / sum(n for _, n in self.losses)
        self.losses = []
        self.lost |= ~(mean.isfinite() & found[0].isfinite())
        lost = self.lost.tolist()
        columns = zip(mean.tolist(), *(v.tolist() for v in found), lost, strict=True)
        return [
            dict.fromkeys(TOLD, float("nan")) if gone else dict(zip(TOLD, values, strict=True))
            for *values, gone in columns
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything, to go on bitwise; of lost seeds alone nothing is left."""
        return {"lost": self.lost} | ({} if self.over else super().state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.lost = state["lost"].clone()
        if not self.over:
            super().load_state_dict(state)
