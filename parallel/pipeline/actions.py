"""What a pipeline does, as data: for each rank, its actions in their order.

    F forward   B backward   I and W the halves of a backward (inputs, weights)   U update

    async_1f1b(stages=2, minibatches=3).text()
    0: 0F0 0F1 0B0 0U0 0F2 0B1 0U1 0B2 0U2
    1: 1F0 1B0 1U0 1F1 1B1 1U1 1F2 1B2 1U2

An action is printed as stage, letter and micro-batch, counted through all minibatches (for U: the
minibatch). A table says nothing of when: an action begins once its rank has ended the one before it
and what it needs is there (`needs`). From the table alone follows which version of the weights each
F and B meets (`versions`), and how much is held (`held`).
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

OPS = "FBIWU"


class Action(NamedTuple):
    """One thing that a stage does with one micro-batch of one minibatch."""

    stage: int
    op: str
    minibatch: int
    micro: int = 0


@dataclass(frozen=True)
class Table:
    """The actions of each rank, in the order in which it takes them.

    Args:
        name: Of the schedule that made it.
        ranks: A row of actions for each rank.
        stages: How many there are; each lives on one rank.
        minibatches: How many are trained.
        micro: How many micro-batches each of them is cut into.
    """

    name: str
    ranks: tuple[tuple[Action, ...], ...]
    stages: int
    minibatches: int = 1
    micro: int = 1

    @cached_property
    def home(self) -> dict[int, int]:
        """The rank of each stage."""
        return {a.stage: rank for rank, row in enumerate(self.ranks) for a in row}

    @cached_property
    def digest(self) -> int:
        """A number that differs where tables do, the same in every process."""
        numbers = [
            (rank, a.stage, OPS.index(a.op), a.minibatch, a.micro)
            for rank, row in enumerate(self.ranks)
            for a in row
        ]
        return zlib.crc32(np.asarray(numbers, dtype=np.int64).tobytes())

    def name_of(self, action: Action) -> str:
        """As it is printed: `2F0`."""
        number = action.minibatch if action.op == "U" else self._number(action)
        return f"{action.stage}{action.op}{number}"

    def _number(self, action: Action) -> int:
        return action.minibatch * self.micro + action.micro

    def text(self) -> str:
        """A line for each rank."""
        rows = (" ".join(map(self.name_of, row)) for row in self.ranks)
        return "\n".join(f"{rank}: {row}" for rank, row in enumerate(rows))

    @cached_property
    def _split(self) -> frozenset[int]:
        return frozenset(a.stage for row in self.ranks for a in row if a.op in "IW")

    def split(self, stage: int) -> bool:
        """Whether the backward passes of a stage are cut into I and W."""
        return stage in self._split


def needs(table: Table, action: Action) -> list[Action]:
    """What must have ended before an action can begin, apart from those before it on its rank."""
    stage, op, t, j = action
    if op == "F":
        return [Action(stage - 1, "F", t, j)] if stage else []
    if op == "W":
        return [Action(stage, "I", t, j)]
    if op == "U":
        last = "W" if table.split(stage) else "B"
        return [Action(stage, last, t, k) for k in range(table.micro)]
    own = [Action(stage, "F", t, j)]
    if stage + 1 < table.stages:
        own.append(Action(stage + 1, "I" if table.split(stage + 1) else "B", t, j))
    return own


def versions(table: Table) -> dict[Action, int]:
    """How many updates its stage has made when each F, B, I and W begins."""
    found, made = {}, Counter()
    for row in table.ranks:
        for action in row:
            if action.op == "U":
                made[action.stage] += 1
            else:
                found[action] = made[action.stage]
    return found


def held(table: Table) -> list[int]:
    """The most micro-batches, one for each stage of a rank, that wait there for their backward."""
    return [max(_waiting(row), default=0) for row in table.ranks]


def _waiting(row: tuple[Action, ...]) -> Iterator[int]:
    now = 0
    for action in row:
        now += (action.op == "F") - (action.op in "BW")
        yield now
