"""Steps of dense weights under masks that tighten along a cubic."""

from typing import Any

import torch
from torch import nn

from compress.pruning.apply import Masked
from compress.pruning.masks import Masks
from compress.pruning.prune import prune
from compress.pruning.schedule import Gradual
from compress.runs.passes import Plain


class Pruned(Plain):
    """Updates; every so many steps the smallest weights of the net go.

    Args:
        net: Its masks hold through every step.
        optimizer: Trains it.
        schedule: When masks tighten, and how far.
        masks: What is out from the start; None: nothing.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Gradual,
        masks: Masks | None = None,
    ):
        super().__init__(optimizer)
        self.net, self.schedule = net, schedule
        self.masked = Masked(net, masks or prune(net, 1.0), optimizer)

    def step(self) -> None:
        """Update the weights; where that is due, prune the smallest of the net."""
        super().step()
        if self.schedule.due(self.t):
            within = self.masked.masks
            self.masked.tighten(prune(self.net, self.schedule.at(self.t), within=within))

    def state_dict(self) -> dict[str, Any]:
        """Return steps and masks."""
        return super().state_dict() | {"masks": self.masked.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        super().load_state_dict(state)
        self.masked.load_state_dict(state["masks"])
