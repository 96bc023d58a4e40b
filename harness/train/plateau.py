"""Decides when each member of a stack cools down and ends: after fixed epochs, or once flat.

    epoch              1    2    3    4    5    6    7    8    9
    validation loss  .90  .50  .40  .41  .42  .40  .38  .37  .37
    patience 3                  ^ best           ^ flat: three epochs without a new minimum
    cooldown 3: rate   1    1    1    1    1    1  5/6  1/2  1/6   then it has ended

With patience 0 the cooldown is the last epochs of the run; without cooldown the rate stays. Each
member has its own course, so that a seed's result does not depend on its companions.
"""

from typing import Any

import torch


class Plateau:
    """Watches one loss per member; with `patience` 0 nobody ever counts as flat."""

    def __init__(self, members: int, epochs: int, patience: int = 0, cooldown: int = 0):
        self.epochs, self.patience, self.cooldown = epochs, patience, cooldown
        self.best = torch.full((members,), float("inf"), dtype=torch.float64)
        self.since = torch.zeros(members, dtype=torch.int64)  # epochs without a new minimum
        self.cold = torch.full((members,), -1)  # epochs of the cooldown that are done; -1: not yet

    def rates(self) -> torch.Tensor | None:
        """Return each member's share of the learning rate in this epoch; None means all of it."""
        if not self.cooldown:
            return None
        rates = 1 - (self.cold.double() + 0.5) / self.cooldown
        return torch.where(self.cold < 0, 1.0, rates.clamp_min(0))

    def begin(self, epoch: int) -> None:
        """Start an epoch (from 0): who is flat or near the end begins to cool down."""
        flat = (self.since >= self.patience) if self.patience else torch.tensor(False)
        late = torch.tensor(epoch >= self.epochs - self.cooldown)
        self.cold = torch.where((self.cold < 0) & (flat | late), 0, self.cold)

    def end(self, losses: torch.Tensor | None) -> None:
        """End an epoch, with the validation losses where there are any."""
        self.cold = torch.where(self.cold < 0, self.cold, self.cold + 1)
        if losses is not None:
            self.since = torch.where(losses < self.best, 0, self.since + 1)
            self.best = torch.minimum(losses, self.best)

    def ended(self) -> list[bool]:
        """Return which members are done before the last epoch."""
        flat = self.since >= self.patience
        done = (self.cold >= self.cooldown) if self.cooldown else flat
        return [self.patience > 0 and bool(x) for x in done]

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"best": self.best, "since": self.since, "cold": self.cold}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.best, self.since, self.cold = state["best"], state["since"], state["cold"]
