"""What one stage hands to the next: outputs down, gradients up, here or to another rank.

    rank 0                                     rank 1
    [1] nothing that is not finite             [3] receives of what is due next are open already,
    [2] isend; go on at once    ──────────►        in the order in which rank 0 will send
                                               [4] wait, when an action needs it
    [5] a send is only waited for when many are open

Stages on one rank hand over by a mailbox. A shape is told before the first message of its kind, so
that uneven batches work; micro-batches without samples do not travel at all. What crosses between
ranks is counted, in a simulation too.
"""

from collections import deque
from collections.abc import Callable

import torch

from parallel.pipeline.actions import Action, Table
from parallel.pipeline.shapes import Kind, Shapes, blank
from parallel.world.comm import Comm, Ticket, nbytes

AHEAD = 2  # receives that are open, for each peer
OPEN = 8  # sends that are not waited for, for each stage


def receiver(table: Table, action: Action) -> Action | None:
    """The action that needs what this one gives; None if no other stage does."""
    stage, op, t, j = action
    if op == "F" and stage + 1 < table.stages:
        return Action(stage + 1, "F", t, j)
    if op in "BI" and stage:
        return Action(stage - 1, "I" if table.split(stage - 1) else "B", t, j)
    return None


def sender(table: Table, action: Action) -> Action | None:
    """The action of another stage that gives what this one needs; None if there is none."""
    stage, op, t, j = action
    if op == "F" and stage:
        return Action(stage - 1, "F", t, j)
    if op in "BI" and stage + 1 < table.stages:
        return Action(stage + 1, "I" if table.split(stage + 1) else "B", t, j)
    return None


def _giver(table: Table, receiving: Action) -> Action:
    """The action that gives what one needs."""
    giver = sender(table, receiving)
    assert giver is not None
    return giver


def _source(table: Table, receiving: Action) -> int:
    """The rank of that action."""
    return table.home[_giver(table, receiving).stage]


class Channel:
    """The boundaries of the stages of this rank (in a simulation: of all).

    Args:
        comm: Reaches the other ranks.
        table: Who does what.
        samples: Of a micro-batch (t, j).
        device: Where tensors shall lie.
    """

    def __init__(self, comm: Comm, table: Table, samples: Callable[[int, int], int], device=None):
        self.comm, self.table, self.device = comm, table, device
        self.mail: dict[Action, torch.Tensor] = {}
        self.shapes = Shapes(samples)
        self.sends: deque[Ticket] = deque()
        self.open: dict[Action, Ticket] = {}
        self.restart()

    def restart(self) -> None:
        """The table begins anew; nothing is under way."""
        others = (r for r in range(len(self.table.ranks)) if r not in self.comm.ranks)
        self.due = {r: self._from(r) for r in others}

    def resume(self, later: set[Action], mail: dict[Action, torch.Tensor]) -> None:
        """Go on where only `later` is to come, and `mail` has come."""
        self.restart()
        self.mail, self.open = dict(mail), {}
        self.due = {r: deque(a for a in due if a in later) for r, due in self.due.items()}

    def _from(self, rank: int) -> deque[Action]:
        """What will come from a rank, in the order in which it sends."""
        pairs = (receiver(self.table, a) for a in self.table.ranks[rank] if a.op in "FBI")
        here = (a for a in pairs if a and self.table.home[a.stage] in self.comm.ranks)
        return deque(a for a in here if not self.empty(a))

    def empty(self, action: Action) -> bool:
        """Whether it has nothing to do: its micro-batch has no samples."""
        return action.op != "U" and not self.shapes.samples(action.minibatch, action.micro)

    def leaves(self, action: Action) -> bool:
        """Whether what it gives goes to another rank."""
        target, home = receiver(self.table, action), self.table.home
        return target is not None and home[action.stage] != home[target.stage]

    def send(self, action: Action, value: torch.Tensor) -> None:
        """Hand on what an action gives."""
        target = receiver(self.table, action)
        if target is None:
            return
        source, to = self.table.home[action.stage], self.table.home[target.stage]
        if to in self.comm.ranks:
            if source != to:
                self.comm.sent += nbytes(value)
            self.mail[target] = value
            return
        self._tell(action, value, to)
        self._post(to, value.contiguous())  # [2]

    def _post(self, to: int, value: torch.Tensor) -> None:
        self.sends.append(self.comm.post({(self.comm.rank, to): {"": value}}, {}))
        while len(self.sends) > OPEN * self.table.stages:
            self.comm.wait(self.sends.popleft())  # [5]

    def _tell(self, action: Action, value: torch.Tensor, to: int) -> None:
        """Say a shape, before the first message of its kind."""
        header, sent = self.shapes.header(action, value), self.comm.sent
        if header is not None:
            self._post(to, header)
            self.comm.sent = sent  # (headers are no part of the training)

    def _shape(self, kind: Kind, source: int) -> torch.Tensor:
        """The shape of what is due; asked for where it was never told."""
        if kind not in self.shapes.known:
            message = source, self.comm.rank
            got = self.comm.wait(self.comm.post({}, {message: {"": blank()}}))
            self.shapes.learn(kind, got[message][""])
        return self.shapes.known[kind]

    def _receive(self, source: int, last: Action | None) -> None:
        """Open receives from a rank: up to an action, or as far ahead as shapes are known."""
        due = self.due[source]
        while due and (last is not None or self._ahead(source) < AHEAD):
            kind = self.shapes.kind(due[0])
            if last is None and kind not in self.shapes.known:
                return
            like = self._shape(kind, source)
            buffer = torch.empty(like.shape, dtype=like.dtype, device=self.device)
            action = due.popleft()
            self.open[action] = self.comm.post({}, {(source, self.comm.rank): {"": buffer}})  # [3]
            if action == last:
                last = None

    def _ahead(self, source: int) -> int:
        return sum(_source(self.table, action) == source for action in self.open)

    def ready(self, action: Action) -> bool:
        """Whether an action can begin here without waiting."""
        if action.op == "F":
            alone = not action.stage
        else:
            alone = action.op not in "BI" or action.stage + 1 == self.table.stages
        return alone or action in self.mail or self.empty(action)

    def take(self, action: Action) -> torch.Tensor:
        """What an action needs; waited for."""
        if action in self.mail:
            return self.mail.pop(action)
        source = _source(self.table, action)
        where = f"stage {_giver(self.table, action).stage}{self.comm.whose}"
        self.comm.at += f", waiting for rank {self.comm.number(source)} ({where})"
        if action not in self.open:
            self._receive(source, action)
        got = self.comm.wait(self.open.pop(action))  # [4]
        self._receive(source, None)
        return got[source, self.comm.rank][""]

    def settle(self, actions: list[Action]) -> None:
        """Take what was sent already for actions that come later, into the mailbox."""
        for action in actions:
            if action not in self.mail:
                self.mail[action] = self.take(action)
