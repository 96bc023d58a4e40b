"""Carries out a table on the stages that are here, each action as soon as its turn and input come.

    rank 0:  0F0 0F1 0B0 0U0 | 0F2 0B1 0U1 | ...       |: after update t of all its stages
    rank 1:  1F0 1B0 1U0 | 1F1 1B1 1U1 | ...

`until(t)` goes to the bar behind update t. Nothing before a bar needs anything behind another's, so
the pipeline need not drain there; what is in flight stays so. In a simulation all ranks are here
and take turns: forward passes of all, then the rest of all, as code that has just run is faster;
each as far as it can where both passes read the same to look ahead. `order` draws single actions
instead, which changes no number.
"""

import random
from collections.abc import Callable

import torch

from parallel.pipeline.actions import Action, Table
from parallel.pipeline.channel import Channel, sender
from parallel.pipeline.clip import Clip
from parallel.pipeline.finite import hopeless, lost, refuse
from parallel.pipeline.joint import Joint
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.stage import Stage
from parallel.world.comm import Comm

Batch = tuple[torch.Tensor | None, torch.Tensor | None, float]  # and the share of the minibatch


class Executor:
    """The stages of this rank (in a simulation: of all), and how far each rank has come.

    Args:
        table: Who does what; minibatch 0 of it is `first` of the training.
        stages: Those here.
        channel: Between them and the others.
        feed: Samples that a forward pass needs: inputs of the first stage, targets of the last.
        comm: For what rank this is.
        pipeline: Says in what order, where that is free, and where gradients are clipped.
    """

    def __init__(
        self,
        table: Table,
        stages: dict[int, Stage],
        channel: Channel,
        feed: Callable[[Action], Batch],
        comm: Comm,
        pipeline: Pipeline,
    ):
        self.table, self.stages, self.channel, self.feed = table, stages, channel, feed
        self.comm = comm
        here = range(len(table.ranks)) if comm.alone else comm.ranks
        self.at = dict.fromkeys(here, 0)
        self.bars = {rank: bars(table, rank) for rank in range(len(table.ranks))}
        self.first = 0  # which minibatch of the training is the table's first
        self.draw = None if pipeline.order is None else random.Random(pipeline.order)
        self.watch: Callable[[Action, Stage], None] | None = None
        self.joint: Joint | None = None  # where there are several replicas
        self.clip = Clip(pipeline.clip, pipeline.waits, comm) if pipeline.clip else None

    def restart(self, first: int) -> None:
        """Begin the table anew, for later minibatches; nothing is in flight."""
        self.at, self.first = dict.fromkeys(self.at, 0), first
        self.channel.restart()

    def resume(self, at: dict[int, int], mail: dict[Action, torch.Tensor]) -> None:
        """Go on from where each rank was, with what had been sent to it."""
        self.at = dict(at)
        later = {a for rank, i in at.items() for a in self.table.ranks[rank][i:]} - mail.keys()
        self.channel.resume(later, mail)

    def until(self, t: int) -> None:
        """Every rank here goes to its bar behind update t."""
        far = any(one.policy.swaps and one.policy.ahead for one in self.stages.values())  # (above)
        waiting = [rank for rank in [*self.at][::-1] if self.at[rank] < self.bars[rank][t]]
        while waiting:
            moved = False
            for rank in self._turn(waiting):
                moved |= self._go(rank, self.bars[rank][t], far)
            assert moved, (
                f"no rank can go on: {[self.table.name_of(self.next(r)) for r in waiting]}"
            )
            waiting = [rank for rank in waiting[::-1] if self.at[rank] < self.bars[rank][t]]

    def _go(self, rank: int, bar: int, far: bool) -> bool:
        """Let a rank work: until its turn ends, or as far as it can."""
        row, begin, alone = self.table.ranks[rank], self.at[rank], self.comm.alone
        forward = row[begin].op == "F"
        for i in range(begin, bar):
            action = row[i]
            turn = far or (action.op == "F") == forward
            if alone and not (turn and self._ready(action)):
                break
            self.act(action)
            self.at[rank] = i + 1
            if self.draw:
                break
        return self.at[rank] > begin

    def _ready(self, action: Action) -> bool:
        """Whether it can begin; an update clipped by the whole norm waits for all gradients."""
        if action.op == "U" and self.clip and self.clip.whole:
            ends = ((r, len(self.table.ranks[r])) for r in self.at)
            return all(self.at[r] == end or self.next(r).op == "U" for r, end in ends)
        return self.channel.ready(action)

    def next(self, rank: int) -> Action:
        """What a rank will do."""
        return self.table.ranks[rank][self.at[rank]]

    def _turn(self, waiting: list[int]) -> list[int]:
        """Whose turn it is."""
        if self.draw is None:
            return waiting
        able = [rank for rank in waiting if self._ready(self.next(rank))]
        return [self.draw.choice(able)] if able else []

    def act(self, action: Action) -> None:
        """One action."""
        stage = self.stages[action.stage]
        key = action.minibatch + self.first, action.micro
        if not self.comm.alone:
            where = f"stage {action.stage}{self.comm.whose}"
            self.comm.at = f"{action.op} of {where} for minibatch {key[0]}"
        if self.channel.empty(action):
            return
        match action.op:
            case "F":
                x, target, share = self.feed(action)
                x = self.channel.take(action) if x is None else x
                y = stage.forward(key, x, share, target)
                if stage.loss is None:
                    self._send(action, y)
                elif hopeless(y):
                    self._trace(key)
                    lost(key[0], {k: s.weights.newest for k, s in self.stages.items()})
            case "B" | "I":
                dy = None if stage.loss is not None else self.channel.take(action)
                backward = stage.backward if action.op == "B" else stage.backward_inputs
                dx = backward(key, dy)
                if action.stage:
                    assert dx is not None
                    self._send(action, dx)
            case "W":
                stage.backward_weights(key)
            case "U":
                if self.joint:
                    self.joint(key[0], stage, self.stages)
                if self.clip:
                    self.comm.at = f"update {key[0]}"
                    self.clip(stage, self.stages)
                stage.update(key[0])
        if self.watch:
            self.watch(action, stage)

    def _send(self, action: Action, value: torch.Tensor) -> None:
        if not self.comm.alone and self.channel.leaves(action):
            t, k = action.minibatch + self.first, action.stage
            refuse(value, action.op, f"{k}{self.comm.whose}", t, self.stages[k].weights.newest)
        self.channel.send(action, value)

    def _trace(self, key: tuple[int, int]) -> None:
        """Name the first stage here whose output was not finite, in the words of `_send`."""
        for k, stage in sorted(self.stages.items()):
            flight = stage.flights.get(key)
            if flight and stage.loss is None:
                whose = f"{k}{self.comm.whose}"
                refuse(flight.graph().detach(), "F", whose, key[0], stage.weights.newest)

    def loss(self, t: int) -> list[torch.Tensor]:
        """The loss of a minibatch (of a stack: of each member), if the last stage had samples."""
        last = self.stages.get(self.table.stages - 1)
        found = last.losses.pop(t + self.first, []) if last else []
        if len(found) == 1 and not self.joint:
            return [found[0][0]]
        return [torch.stack([loss * share for loss, share in found]).sum(0)] if found else []

    def crossing(self) -> list[Action]:
        """What was sent before the others' bars for actions behind the bar here."""
        found = []
        for rank, at in self.at.items():
            if at and at < len(self.table.ranks[rank]):
                t = self.bars[rank].index(at)
                later = self.table.ranks[rank][at : at + self._window()]
                found += [a for a in later if self._sent(a, t)]
        return found

    def _window(self) -> int:
        """Actions of a rank among which all are whose input may have been sent."""
        return 8 * self.table.stages * (self.table.micro + 1)

    def _sent(self, action: Action, t: int) -> bool:
        """Whether another stage gives the input of an action before its bar behind update t."""
        giver = sender(self.table, action)
        if giver is None or self.channel.empty(action):
            return False
        rank = self.table.home[giver.stage]
        bar = self.bars[rank][t]
        return giver in self.table.ranks[rank][max(0, bar - self._window()) : bar]


def bars(table: Table, rank: int) -> list[int]:
    """For each minibatch, where a rank is once all of its stages have made that update."""
    found = [0] * table.minibatches
    for i, action in enumerate(table.ranks[rank]):
        if action.op == "U":
            found[action.minibatch] = max(found[action.minibatch], i + 1)
    return found
