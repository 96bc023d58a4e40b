"""The outer steps of a strategy: before and after one, all workers hold the same weights.

`anchor` are the weights after the last outer step, `moved` the momentum; each process keeps one of
both, whatever the number of workers in it.
"""

from typing import Any

import torch

from parallel.replicas.states import States
from parallel.world.comm import State


class Outer:
    """SGD with Nesterov momentum on what workers have found together."""

    def __init__(self, states: States, rate: float, momentum: float):
        self.states, self.rate, self.momentum = states, rate, momentum
        self.begin()

    def begin(self) -> None:
        """Start from the weights that the workers have now."""
        self.anchor = {k: v[0].detach().clone() for k, v in self._rows().items()}
        self.moved: State = {k: torch.zeros_like(v) for k, v in self.anchor.items()}

    def _rows(self) -> State:
        return {k: v for k, v in self.states.rows().items() if k.startswith("params:")}

    @torch.no_grad()
    def step(self) -> None:
        """Make one, from the mean that all workers have."""
        rows = self._rows()
        for name, value in rows.items():
            anchor = self.anchor[name] = self.anchor[name].to(value)  # (the net may have moved)
            moved = self.moved[name] = self.moved[name].to(value)
            found = anchor - value[0]
            moved.mul_(self.momentum).add_(found)
            anchor.sub_(found.add_(moved, alpha=self.momentum), alpha=self.rate)
            value.copy_(anchor.expand_as(value))
        self.states.put(rows)

    def state_dict(self) -> dict[str, Any]:
        """Return what it takes to go on bitwise."""
        return {"anchor": self.anchor, "moved": self.moved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for kept, given in ((self.anchor, state["anchor"]), (self.moved, state["moved"])):
            for name, value in kept.items():
                value.copy_(given[name])
