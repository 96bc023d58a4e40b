"""Computes the gradients of the workers here: of each one's mean loss over its own samples.

Where the loss is known to be a plain mean, one call of it over all workers says what one call for
each would; else it is called for each of them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.nets.dropout import KeyedDropout, set_key
from harness.seeding import derive
from parallel.replicas.replicas import Looped, Stacked
from parallel.world.comm import Comm


class Backward:
    """What a step does before anybody talks; with `each`, the loss is called once per worker."""

    def __init__(
        self,
        members: Stacked | Looped,
        data: Data,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        comm: Comm,
        seed: int,
        batches: Any,
        each: bool,
    ):
        self.members, self.data, self.loss, self.comm, self.seed = members, data, loss, comm, seed
        self.batches, self.each = batches, each or not plain_mean(loss, data.train_y)
        self.reached: list[str] = []  # names of what the loss reaches
        self.latest: list[Any] = []  # losses of the last step, by worker, where each is called
        self.losses: list[tuple[torch.Tensor, int]] = []  # means, and of how many samples
        self.always = False  # whether also a rank without samples makes a backward of its own
        self.keyed = keyed(members, comm, seed)

    def __call__(self, step: int, index: torch.Tensor | list[torch.Tensor], optimizer: Any) -> None:
        """Leave the gradients of step `step` where the optimizer finds them."""
        for module in self.keyed:
            module.step = step
        callers = torch.default_generator.get_state()
        # What noise a layer of torch draws (nn.Dropout) is a function of seed, step and rank.
        torch.default_generator.manual_seed(derive(self.seed, "noise", step, self.comm.rank))
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

    def _nothing(self) -> None:
        """Give a rank without samples a gradient of zero, where a loss reaches."""
        model = self.members.template
        if self.always or not self.reached:
            model.eval()
            self.loss(model(self.data.train_x[:1]), self.data.train_y[:1]).backward()
            model.train()
            self.reached = list(self.members.get("gradients"))
        if self.always:  # (its gradients have left, and counted nothing)
            return
        for name, p in model.named_parameters():
            p.grad = torch.zeros_like(p) if name in self.reached else None

    def _even(self, index: torch.Tensor) -> torch.Tensor | None:
        """Return the sum of the workers' means, by one call of the loss over all of them."""
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
        """Return inputs and targets of the samples with these numbers, in any shape."""
        flat = index.reshape(-1).to(self.data.train_y.device)
        if self.batches:
            x, y = self.batches.draw(flat)
        else:
            x, y = self.data.train_x.index_select(0, flat), self.data.train_y.index_select(0, flat)
        return x.view(*index.shape, *x.shape[1:]), y.view(index.shape)


def keyed(members: Stacked | Looped, comm: Comm, seed: int) -> list[KeyedDropout]:
    """Return the layers that draw by (seed, step, worker), after telling them seed and workers."""
    for module in members.modules():
        set_key(module, seed=seed, workers=list(comm.ranks))
        module.train()
    if isinstance(members, Looped):
        for rank, module in zip(comm.ranks, members.modules(), strict=True):
            set_key(module, workers=[rank])
    every = (layer for module in members.modules() for layer in module.modules())
    return [layer for layer in every if isinstance(layer, KeyedDropout)]


MEANS = (F.cross_entropy, F.nll_loss, F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss)
MODULES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


def plain_mean(loss: Any, targets: torch.Tensor) -> bool:
    """Return whether it is known to be a mean in which every sample counts alike.

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
