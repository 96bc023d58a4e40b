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
from parallel.pipeline.actions import Action, Table
from parallel.pipeline.executor import Batch
from parallel.pipeline.pipeline import Pipeline
from parallel.training.minibatches import Minibatches
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
        if pipeline.replicas > 1:
            raise ValueError(
                f"a stack of seeds has one replica of each stage, got replicas="
                f"{pipeline.replicas}: train the seeds one by one, or take replicas=1"
            )
        self.seeds, samples = list(seeds), len(data.train_y)
        self.orders = [Shards(samples, 1, batch_size, seed) for seed in seeds]
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

    def _minibatches(self, shards: Shards, replica: tuple[int, int]) -> "Orders":
        return Orders(self.data, self.orders, self.pipeline.micro, self.pipeline.stages)

    def _digest(self, model: nn.Module, table: Table, *more: Any) -> int:
        return super()._digest(model, table, self.seeds, *more)

    def step(self) -> None:
        """One update of every stage, for every seed; nothing once all are lost."""
        if not self.over:
            try:
                super().step()
            except NotFinite:
                self.lost.fill_(True)

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
        losses, self.tally.losses = self.tally.losses, []
        total = torch.stack([loss * n for loss, n in losses]).double().sum(0)
        mean = total / sum(n for _, n in losses)
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


class Orders(Minibatches):
    """Minibatches of several seeds, each in its own order: (seeds, batch, ...).

    Args:
        data: The samples, of all seeds.
        orders: Of each seed.
        micro: Micro-batches of each minibatch.
        stages: How many, so that the last is known.
    """

    def __init__(self, data: Data, orders: list[Shards], micro: int, stages: int):
        super().__init__(data, orders[0], micro, stages)
        self.orders = orders
        self.epochs: dict[int, tuple[torch.Tensor, ...]] = {}  # those in use

    def inputs(self, count: int) -> torch.Tensor:
        """So many samples for each seed."""
        x = self.data.train_x[:count]
        return x.expand(len(self.orders), *x.shape)

    def feed(self, action: Action) -> Batch:
        """As of one seed, with an axis for all."""
        stage, _, t, j = action
        share = self.samples(t, j) / self.size(t)
        if stage and stage != self.last:
            return None, None, share
        epoch, k = divmod(self.first + t, self.shards.steps)
        own = self._epoch(epoch)[k].tensor_split(self.micro, dim=1)[j]
        x = take(self.data.train_x, own) if not stage else None
        return x, take(self.data.train_y, own) if stage == self.last else None, share

    def _epoch(self, epoch: int) -> tuple[torch.Tensor, ...]:
        """Samples (seeds, batch) of each step."""
        if epoch not in self.epochs:
            self.epochs = {e: v for e, v in self.epochs.items() if e == epoch - 1}
            steps = range(epoch * self.shards.steps, (epoch + 1) * self.shards.steps)
            each = [torch.cat([order.at(i + 1)[0] for i in steps]) for order in self.orders]
            both = torch.stack(each).to(self.data.train_y.device)
            self.epochs[epoch] = both.split(self.shards.batch, dim=1)
        return self.epochs[epoch]
