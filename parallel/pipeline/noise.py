"""Noise of a stage: a function of seed, minibatch, micro-batch and layer, whoever runs it when."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from torch import nn

from harness.nets.dropout import KeyedDropout
from harness.seeding import derive

SILENCE = contextlib.nullcontext()  # (where nothing draws)


class Noise:
    """Sets what draws before each forward pass.

    Args:
        seed: Of the run.
        stage: Tells the stages apart.
        replica: Of how many, and which: each draws as a micro-batch of its own.
    """

    def __init__(self, seed: int, stage: int, replica: tuple[int, int] = (0, 1)):
        self.seed, self.stage, self.replica = seed, stage, replica
        self.draws: bool | None = None  # whether layers ask torch's own generator: not known yet
        self.keyed: list[KeyedDropout] | None = None

    def __call__(self, module: nn.Module, key: tuple[int, int]) -> AbstractContextManager[None]:
        """Around the forward pass of micro-batch (t, j)."""
        if self.keyed is None:
            self.keyed = [m for m in module.modules() if isinstance(m, KeyedDropout)]
        micro = key[1] * self.replica[1] + self.replica[0]
        for layer in self.keyed:
            layer.seed, layer.step, layer.workers = self.seed, key[0] + 1, (micro,)
        return SILENCE if self.draws is False else self._drawn(key[0], micro)

    @contextlib.contextmanager
    def _drawn(self, t: int, micro: int) -> Iterator[None]:
        """With torch's own generator as (seed, stage, t, j) says, and then as it was."""
        before = torch.default_generator.get_state()
        torch.default_generator.manual_seed(derive(self.seed, "noise", t + 1, micro, self.stage))
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(torch.initial_seed())
        fresh = torch.default_generator.get_state()
        try:
            yield
            if self.draws is None and not torch.cuda.is_initialized():
                self.draws = not torch.equal(fresh, torch.default_generator.get_state())
        finally:
            torch.default_generator.set_state(before)

    @contextlib.contextmanager
    def again(self, module: nn.Module) -> Iterator[None]:
        """Around a forward pass that has been done before: running statistics stay as they are."""
        kept = {n: b.clone() for n, b in module.named_buffers()}
        yield
        for name, buffer in module.named_buffers():
            buffer.data.copy_(kept[name])  # (autograd would take it for a change under way)
