"""An ensemble of one seed that grows by a member at a time, of nets that no stack makes faster.

    growth = Deep(factory, data, seed, config)
    while (row := growth.member(told)) is not None:      the ensemble of all members so far
        ...

Members come from the library's own Boosting and Training. What each answers to the validation and
the test part is kept, so every smaller ensemble and every combination is there without the nets.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from ensemble.account import row
from ensemble.fit.boosting import Boosting
from ensemble.fit.samples import answers
from ensemble.fit.training import Training, made
from ensemble.plans.paper import Paper
from harness.data import Data
from harness.data.pictures import Batches, images

PARTS = ("test", "validation")
LAYOUT = torch.contiguous_format  # which the native kernels of sparse convolutions read
Told = Callable[[float], None]


class Deep:
    """The ensemble; `state_dict` holds it between two members.

    Args:
        factory: Makes an untrained member; its start is drawn from torch's generator.
        data: Pictures, with a validation part.
        seed: The members' seeds come from it.
        config: How they come about.
    """

    def __init__(self, factory: Callable[[], nn.Module], data: Data, seed: int, config: Paper):
        self.factory, self.seed, self.config = factory, seed, config
        self.train = images(data.train_x, data, LAYOUT), data.train_y
        self.parts = {p: images(getattr(data, f"{p}_x"), data, LAYOUT) for p in PARTS}
        self.targets = {p: getattr(data, f"{p}_y") for p in PARTS}
        self.logp: dict[str, list[torch.Tensor]] = {p: [] for p in PARTS}
        self.steps = 0
        self.task: dict[str, Any] = {
            "batch_size": config.batch_size,
            "optimizer": self._sgd,
            "batches": lambda member: Batches(data, config.augment, member, LAYOUT),
        }
        self.boosting = self._boosting() if config.boosted else None
        self.single = self._training(0, config.members) if config.method == "single" else None

    @property
    def done(self) -> int:
        """Members so far."""
        return len(self.logp["test"])

    def member(self, told: Told = lambda share: None) -> dict[str, Any] | None:
        """Train the next member; returns the row of all so far, or None where boosting has ended.

        Args:
            told: Hears which share of the member is trained.
        """
        begin = time.process_time()
        grow = self._boosted if self.boosting else partial(self._plain, self.single)
        net = grow(told)
        if net is None:
            return None
        spent = time.process_time() - begin
        for part, x in self.parts.items():
            logp = torch.log_softmax(answers(net, x).double().cpu(), -1)
            self.logp[part].append(logp)
        inference = time.process_time() - begin - spent
        return self._row() | {"train_time": spent, "inference_time": inference}

    def _plain(self, single: Training | None, told: Told) -> nn.Module:
        """Train a new member, or the one net for as long as a member is trained."""
        training = single or self._training(self.done, 1)
        rows = iter(training)
        for epoch in range(self.config.each):
            next(rows)
            told((epoch + 1) / self.config.each)
        (net,) = training.members()
        return net

    def _boosted(self, told: Told) -> nn.Module | None:
        boosting, member = self.boosting, self.done
        assert boosting
        for found in boosting:
            told(found["epoch"] / self.config.each)
            if boosting.tried > member:
                break
        return boosting.nets[member] if len(boosting.nets) > member else None

    def _row(self) -> dict[str, Any]:
        first = self.done - 1 if self.single else 0
        logp = {part: torch.stack(found[first:]) for part, found in self.logp.items()}
        course = self.boosting.course if self.boosting else None
        return {"epoch": self.done, "steps": self.steps} | row(logp, self.targets, course)

    def _training(self, first: int, members: int) -> Training:
        """Return one net about to be trained for as long as so many members."""
        nets = made(self.factory, 1, self.seed, first)
        epochs = self.config.each * members
        return Training(nets, *self.train, epochs, seed=self.seed, first=first, **self.task)

    def _boosting(self) -> Boosting:
        c = self.config
        return Boosting(
            self.factory,
            *self.train,
            c.members,
            c.each,
            rule=c.method,
            learning_rate=c.shrinkage,
            weights=c.weights,
            seed=self.seed,
            **self.task,
        )

    def _sgd(self, parameters: Any) -> torch.optim.Optimizer:
        """Return SGD whose steps are counted, as rule `iddl` may make two of a batch."""
        lr, momentum = self.config.lr, self.config.momentum
        sgd = torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)
        sgd.register_step_post_hook(self._count)
        return sgd

    def _count(self, *of: Any) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on bitwise, with the answers of all members."""
        parts = {"boosting": self.boosting, "single": self.single}
        state = {name: part.state_dict() for name, part in parts.items() if part}
        return {"logp": self.logp, "steps": self.steps, **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.logp, self.steps = state["logp"], state["steps"]
        for name, part in (("boosting", self.boosting), ("single", self.single)):
            if part:
                part.load_state_dict(state[name])
