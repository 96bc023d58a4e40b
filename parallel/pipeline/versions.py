"""The weights of one stage: the true ones, which an optimizer steps, and versions still in use.

A version is a dict of tensors that nobody writes to while anybody holds it. The optimizer writes in
place, so before its step the true weights move to fresh memory, if somebody needs the old ones:

    newest ──► tensors A ◄── a micro-batch in flight           before the step
    newest ──► tensors B (a copy, which the optimizer steps)   after it
    older[-1] ──► tensors A

Prediction (`ahead`) makes tensors of its own and never touches the true weights.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from parallel.pipeline.ahead import DIRECTIONS, suitable

State = dict[str, torch.Tensor]


class Versions:
    """True weights, their number of updates, and a few older versions.

    Args:
        stage: Which one, from 0.
        stages: Of how many.
        params: The true weights by name.
        optimizer: What steps them; None where there are none.
        keep: How many older versions stay at hand.
        ahead: Where the weights are going (see parallel.pipeline.ahead); "": nobody will ask.
    """

    def __init__(
        self,
        stage: int,
        stages: int,
        params: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer | None,
        keep: int,
        ahead: str = "",
    ):
        self.stage, self.stages, self.params = stage, stages, dict(params)
        self.number = 0
        for p in self.params.values():
            if p.untyped_storage().nbytes() != p.numel() * p.element_size():
                p.data = p.data.clone()  # (the memory of a version is its own)
        self.newest: State = self._now()
        self.older: deque[State] = deque(maxlen=keep)
        self.extra: dict[str, State] = {}  # what a policy remembers
        self.step_by(optimizer, ahead)

    def step_by(self, optimizer: torch.optim.Optimizer | None, ahead: str) -> None:
        """Say what steps the weights (from now on).

        Raises:
            ValueError: it does not know where the weights are going.
        """
        self.optimizer = optimizer
        self.direction = suitable(ahead, optimizer) if optimizer and ahead else ""
        keep = max(self.older.maxlen or 0, self.direction == "displacement")
        self.older = deque(self.older, maxlen=keep)
        names = {id(p): name for name, p in self.params.items()}
        self.rows = [[names[i] for i in map(id, g["params"]) if i in names] for g in self._groups()]
        self.places = {name: i for i, row in enumerate(self.rows) for name in row}

    @property
    def delay(self) -> int:
        """Updates of this stage between forward and backward of a minibatch, once all is full."""
        return self.stages - 1 - self.stage

    def version(self, number: int) -> State:
        """The weights after so many updates; the first ones for numbers below 0.

        Raises:
            LookupError: it is no longer at hand.
        """
        back = self.number - max(0, number)
        if back > len(self.older):
            raise LookupError(
                f"stage {self.stage} keeps {self.older.maxlen} older versions, not {back}"
            )
        return self.older[-back] if back else self.newest

    def at_hand(self) -> list[State]:
        """The newest version, and the older ones that are kept."""
        return [self.newest, *self.older]

    def ahead(self, steps: int) -> State:
        """The newest weights, and where they will be after so many updates more."""
        if not steps or not self.params or not self.number:
            return self.newest
        if not self.direction:
            raise ValueError(
                f"stage {self.stage} is asked for weights {steps} updates ahead, and its policy "
                "says that it looks at none: `reach(stage, stages)` has to give how far forward "
                'and backward look, and `ahead` a direction, such as "auto"'
            )
        return DIRECTIONS[self.direction](self, steps)

    @property
    def stepper(self) -> torch.optim.Optimizer:
        """The optimizer, where there is one."""
        assert self.optimizer is not None
        return self.optimizer

    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups if self.optimizer else []

    def group(self, name: str) -> dict[str, Any]:
        """The optimizer's group of a parameter: lr, momentum, ..."""
        return self.stepper.param_groups[self.places[name]]

    def before(self, held: bool) -> None:
        """To be called before the optimizer's step; `held`: the newest version is in use."""
        if held or self.older.maxlen:
            for p in self.params.values():
                p.data = p.data.clone()

    def after(self, in_place: bool = False) -> None:
        """To be called after it; `in_place`: what is in flight lies on the true weights' memory."""
        if in_place:
            self._stay()
        if self.older.maxlen:
            self.older.append(self.newest)
        self.newest = self._now()
        self.number += 1

    def _stay(self) -> None:
        """Bring weights back that an optimizer has put elsewhere (torch's own write in place)."""
        for name, p in self.params.items():
            here = self.newest[name]
            if p.data_ptr() != here.data_ptr():
                here.data.copy_(p.data)  # (a change that autograd shall not mind)
                p.data = here

    def _now(self) -> State:
        return {name: p.data for name, p in self.params.items()}

    def bytes(self) -> int:
        """Of one version."""
        return sum(w.numel() * w.element_size() for w in self.newest.values())
