"""Which samples a pipeline's minibatches and micro-batches have."""

import torch

from harness.data import Data
from parallel.pipeline.actions import Action
from parallel.pipeline.executor import Batch
from parallel.training.shards import Shards


class Minibatches:
    """Minibatches of a table, by (seed, epoch, step) alone; micro-batches differ by one at most.

    Args:
        data: The samples.
        shards: Their order, for one worker.
        micro: Micro-batches of each; more than it has samples: the last have none.
        stages: How many, so that the last is known.
        replica: Which part of each micro-batch is seen here, and of how many.
    """

    def __init__(
        self,
        data: Data,
        shards: Shards,
        micro: int,
        stages: int,
        replica: tuple[int, int] = (0, 1),
    ):
        self.data, self.shards, self.micro, self.last = data, shards, micro, stages - 1
        self.replica = replica
        self.whole = micro == replica[1] == 1  # a minibatch is one micro-batch, and all of it here
        self.first = 0  # which minibatch of the training is the table's first

    def index(self, t: int) -> torch.Tensor:
        """Samples of minibatch t."""
        return self.shards.at(self.first + t + 1)[0]

    def size(self, t: int) -> int:
        """How many; fewer in the last of an epoch."""
        before = (self.first + t) % self.shards.steps * self.shards.batch
        return min(self.shards.batch, self.shards.samples - before)

    def samples(self, t: int, j: int) -> int:
        """Of a micro-batch, here."""
        if self.whole:
            return self.size(t)
        return _part(_part(self.size(t), j, self.micro), *self.replica)

    def own(self, t: int) -> int:
        """Samples of minibatch t here."""
        return sum(self.samples(t, j) for j in range(self.micro))

    def inputs(self, count: int) -> torch.Tensor:
        """So many samples, to try a net on."""
        return self.data.train_x[:count]

    def feed(self, action: Action) -> Batch:
        """A micro-batch: inputs of the first stage, targets of the last, share of its minibatch."""
        stage, _, t, j = action
        share = 1.0 if self.whole else self.samples(t, j) / self.size(t)
        if stage and stage != self.last:
            return None, None, share
        own = self.index(t)
        if not self.whole:
            replica, replicas = self.replica
            own = own.tensor_split(self.micro)[j].tensor_split(replicas)[replica]
        own = own.to(self.data.train_y.device)
        x = self.data.train_x.index_select(0, own) if not stage else None
        return x, self.data.train_y.index_select(0, own) if stage == self.last else None, share


def _part(n: int, i: int, parts: int) -> int:
    """The size of part i of n things; as tensor_split has it, the first ones have one more."""
    whole, more = divmod(n, parts)
    return whole + (i < more)
