"""Measures what one unstacked member costs, beside a stacked run.

Stacking makes ten seeds cost little more than one, so a stack's own time says nothing of a model.
The clock trains a throw-away copy of one member for a few steps after each epoch and scales up.
"""

import time
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import nn

from harness.cost import synchronize
from harness.data import Data

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Clock:
    """Times a plain model (batch, ...) with its own optimizer.

    Args:
        model: One unstacked member; it is trained, so pass one that nobody else needs.
        make_optimizer: Makes an optimizer from its parameters.
        data: Its first samples are trained on, and its test set is passed through once.
        batch_size: Samples per step, as in the run.
        steps: Timed steps per reading.
    """

    def __init__(
        self, model: nn.Module, make_optimizer: MakeOptimizer, data: Data, batch_size: int, steps=40
    ):
        self.model, self.data, self.batch_size = model, data, batch_size
        self.optimizer = make_optimizer(model.parameters())
        self.steps = steps

    def read(self) -> dict[str, float]:
        """Return the seconds of one training epoch and of one pass over the test set."""
        per_epoch = -(-len(self.data.train_x) // self.batch_size)
        steps = min(self.steps, per_epoch)
        self._train(3)
        return {
            "train_time": self._timed(self._train, steps) / steps * per_epoch,
            "inference_time": self._timed(self._infer),
        }

    def _timed(self, work: Callable, *args) -> float:
        synchronize(self.data.train_x.device)
        begin = time.perf_counter()
        work(*args)
        synchronize(self.data.train_x.device)
        return time.perf_counter() - begin

    def _train(self, steps: int) -> None:
        self.model.train()
        for k in range(steps):
            index = torch.arange(k * self.batch_size, (k + 1) * self.batch_size) % len(
                self.data.train_x
            )
            index = index.to(self.data.train_x.device)
            x, y = self.data.train_x[index], self.data.train_y[index]
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

    @torch.inference_mode()
    def _infer(self) -> None:
        self.model.eval()
        for part in self.data.test_x.split(500):
            self.model(part)
