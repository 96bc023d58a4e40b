"""Says who sees which sample when, by (seed, epoch, step) alone: the same in every world.

One permutation of the training set is cut into a shard per worker (sizes differ by one at most).
Each epoch a worker goes through its own shard in a new order, a share of the batch at a time. Where
workers do not divide the batch they take turns in having one more, so that every step has `batch`
samples; only the last of an epoch may be smaller, or empty for some.
"""

import math
from functools import lru_cache

import torch

from harness.seeding import generator, order


class Shards:
    """The numbers of the samples that each worker sees in each step.

    Args:
        samples: Size of the training set.
        workers: How many workers share it.
        batch: Samples of all workers per step.
        seed: Seed of the orders.
        reshuffle: Cut new shards in each epoch.

    Raises:
        ValueError: a worker would have no sample.
    """

    def __init__(self, samples: int, workers: int, batch: int, seed: int, reshuffle: bool = False):
        if workers > samples:
            raise ValueError(f"{workers} workers for {samples} samples: some would have none")
        if batch < workers:
            raise ValueError(
                f"a batch of {batch} for {workers} workers: some would have no sample; take a "
                f"batch_size of {workers} or more"
            )
        self.samples, self.workers, self.batch = samples, workers, batch
        self.seed, self.reshuffle = seed, reshuffle
        self.steps = math.ceil(samples / batch)

    def at(self, step: int) -> torch.Tensor | list[torch.Tensor]:
        """Return each worker's samples in this step (from 1 on, over all epochs).

        One tensor (workers, samples) where all have as many, else a list of tensors.
        """
        epoch, k = divmod(step - 1, self.steps)
        return self._epoch(epoch)[k]

    @lru_cache(maxsize=2)  # noqa: B019 (lives as long as its run)
    def _epoch(self, epoch: int) -> list[torch.Tensor | list[torch.Tensor]]:
        orders = self._orders(epoch)
        if self.batch % self.workers == self.samples % self.workers == 0:
            return list(torch.stack(orders).split(self.batch // self.workers, dim=1))
        found: list[torch.Tensor | list[torch.Tensor]] = []
        for k in range(self.steps):
            begins, ends = self._seen(k), self._seen(k + 1)
            each = [own[a:b] for own, a, b in zip(orders, begins, ends, strict=True)]
            even = len({len(one) for one in each}) == 1
            found.append(torch.stack(each) if even else each)
        return found

    def _seen(self, steps: int) -> list[int]:
        """Return how many of its samples each worker has had after so many steps of an epoch."""
        return _split(min(steps * self.batch, self.samples), self.workers)

    def _orders(self, epoch: int) -> list[torch.Tensor]:
        """Return each worker's samples in the order of this epoch."""
        orders = []
        for i, shard in enumerate(self._shards(epoch if self.reshuffle else 0)):
            own = torch.randperm(len(shard), generator=generator(self.seed, "order", epoch, i))
            orders.append(shard[own])
        return orders

    def _shards(self, epoch: int) -> tuple[torch.Tensor, ...]:
        whole = order(self.seed, epoch, self.samples)
        return whole.split(_split(self.samples, self.workers))


def _split(n: int, parts: int) -> list[int]:
    """Return shares of n that differ by one at most; they grow with n, one at a time, in turn."""
    return [n // parts + (i < n % parts) for i in range(parts)]
