"""One ResNet, and an ensemble of others of its kind: the nets of a cell of plan `factors`.

cell = Cell(trained, targets, config, seed)
row = cell.next(told)       the single net, then the ensemble of the nets after it
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from ensemble.account import row
from ensemble.combine import pooled
from ensemble.fit.samples import member_seed
from ensemble.plans.factors import Grid
from ensemble.scores.answers import accuracy

Told = Callable[[float], None]
Logits = dict[str, torch.Tensor]  # of each part: (exits, samples, classes)


class Cell:
    """The nets' answers; `state_dict` holds them between two nets.

    Args:
        trained: Trains a net from its seed, and returns its logits for the test and validation
            parts.
        targets: Of both parts.
        config: How many nets.
        seed: The nets' seeds come from it.
    """

    def __init__(
        self,
        trained: Callable[[int, Told], Logits],
        targets: dict[str, torch.Tensor],
        config: Grid,
        seed: int,
    ):
        self.trained, self.targets = trained, targets
        self.config, self.seed = config, seed
        self.logp: list[Logits] = []

    def next(self, told: Told = lambda share: None) -> dict[str, Any]:
        """Train the next net; returns the row of the single one, or of all after it."""
        begin = time.process_time()
        found = self.trained(member_seed(self.seed, len(self.logp)), told)
        self.logp.append({k: torch.log_softmax(v.double().cpu(), -1) for k, v in found.items()})
        spent = time.process_time() - begin
        return {"epoch": len(self.logp), "train_time": spent} | self._row()

    def _row(self) -> dict[str, Any]:
        members = self.logp[1:] or self.logp
        last = {part: torch.stack([one[part][-1] for one in members]) for part in members[0]}
        said = torch.stack([one["test"] for one in members], 1)  # (exits, members, ...)
        y = self.targets["test"].cpu()
        return row(last, self.targets, None) | {
            "members": len(members),
            "exit_accuracy": [accuracy(pooled(exit), y) for exit in said],
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what all nets so far have said."""
        return {"logp": self.logp}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.logp = state["logp"]
