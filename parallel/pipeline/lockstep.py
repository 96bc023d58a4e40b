"""Replicas of a pipeline in one process: each action is done by all of them, one after another.

All replicas have the same table, so what replica 0 can do now the others can too.
"""

from collections.abc import Sequence

from parallel.pipeline.actions import Action
from parallel.pipeline.executor import Executor


class Lockstep(Executor):
    """Replica 0, which takes the others along."""

    others: Sequence[Executor] = ()

    def act(self, action: Action) -> None:
        """One action, of every replica."""
        super().act(action)
        rank = self.table.home[action.stage]
        for other in self.others:
            other.act(action)
            other.at[rank] += 1

    def _ready(self, action: Action) -> bool:
        return super()._ready(action) and all(one._ready(action) for one in self.others)

    def restart(self, first: int) -> None:
        """Begin the table anew, in every replica."""
        super().restart(first)
        for other in self.others:
            other.restart(first)
