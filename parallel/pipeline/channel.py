"""What one stage hands to the next: outputs down, gradients up, here or to another rank.

    rank 0                                     rank 1
    [1] refuse what is not finite              [3] receives of what is due next are open already,
    [2] isend; go on at once    ──────────►        in the order in which rank 0 will send
                                               [4] wait, when an action needs it
    [5] a send is only waited for when many are open, or at the end

Stages on one rank hand over by a mailbox. A shape is told once for each boundary and size of a
micro-batch, before the first message of that kind, so that uneven batches work; gradients have the
shape of the outputs that they belong to. What crosses between ranks is counted, in a simulation
too.
"""

import math
from collections import deque
from collections.abc import Callable

import torch

from parallel.pipeline.actions import Action, Table
from parallel.world.comm import Comm, NotFinite, Ticket, nbytes

AHEAD = 2  # receives that are open, for each peer
OPEN = 8  # sends that are not waited for, for each stage
DTYPES = torch.float32, torch.float64, torch.bfloat16, torch.float16
RANKS = 8  # of a tensor that is handed on, at most

Kind = tuple[int, str, int]  # a boundary, a direction, samples of the micro-batch


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


class Channel:
    """The boundaries of the stages of this rank (in a simulation: of all).

    Args:
        comm: Reaches the other ranks.
        table: Who does what.
        samples: Of a micro-batch (t, j).
        device: Where tensors shall lie.
    """

    def __init__(self, comm: Comm, table: Table, samples: Callable[[int, int], int], device=None):
        self.comm, self.table, self.samples, self.device = comm, table, samples, device
        self.mail: dict[Action, torch.Tensor] = {}
        self.shapes: dict[Kind, torch.Tensor] = {}  # tensors of that shape, empty
        self.told: set[Kind] = set()
        self.sends: deque[Ticket] = deque()
        self.open: dict[Action, Ticket] = {}
        self.restart()

    def restart(self) -> None:
        """The table begins anew; nothing is under way."""
        others = (r for r in range(len(self.table.ranks)) if r not in self.comm.ranks)
        self.due = {r: self._from(r) for r in others}

    def resume(self, later: set[Action], mail: dict[Action, torch.Tensor]) -> None:
        """Go on where only `later` is to come, and `mail` has come; shapes are told anew."""
        self.restart()
        self.mail, self.shapes, self.told = dict(mail), {}, set()
        self.due = {r: deque(a for a in due if a in later) for r, due in self.due.items()}

    def _from(self, rank: int) -> deque[Action]:
        """What will come from a rank, in the order in which it sends."""
        pairs = (receiver(self.table, a) for a in self.table.ranks[rank] if a.op in "FBI")
        return deque(a for a in pairs if a and self.table.home[a.stage] in self.comm.ranks)

    def send(self, action: Action, value: torch.Tensor) -> None:
        """Hand on what an action gives."""
        target = receiver(self.table, action)
        if target is None:
            return
        source, to = self.table.home[action.stage], self.table.home[target.stage]
        if to in self.comm.ranks:
            self.comm.sent += nbytes(value) * (source != to)
            self.mail[target] = value
            return
        refuse(value, action, self.table.name_of(action))  # [1]
        self._tell(action, value, to)
        self._post(to, value.contiguous())  # [2]

    def _post(self, to: int, value: torch.Tensor) -> None:
        self.sends.append(self.comm.post({(self.comm.rank, to): {"": value}}, {}))
        while len(self.sends) > OPEN * self.table.stages:
            self.comm.wait(self.sends.popleft())  # [5]

    def _kind(self, receiving: Action) -> Kind:
        """Which tensors have one shape: a boundary's outputs and their gradients."""
        down = receiving.op == "F"
        boundary = receiving.stage - 1 if down else receiving.stage
        return boundary, "F" if down else "B", self.samples(receiving.minibatch, receiving.micro)

    def _tell(self, action: Action, value: torch.Tensor, to: int) -> None:
        """Say a shape, before the first message of its kind."""
        kind = action.stage, "F", self.samples(action.minibatch, action.micro)
        if action.op != "F" or kind in self.told:
            return
        self.told.add(kind)
        self.shapes[kind] = torch.empty_like(value, device="meta")
        if value.dim() > RANKS or value.dtype not in DTYPES:
            raise ValueError(
                f"stage {action.stage} gives a tensor of {value.dim()} axes of {value.dtype}: up "
                f"to {RANKS} of a floating-point type can be handed on"
            )
        header = torch.zeros(RANKS + 2, dtype=torch.int64)
        header[0], header[1] = value.dim(), DTYPES.index(value.dtype)
        header[2 : 2 + value.dim()] = torch.tensor(value.shape)
        sent = self.comm.sent
        self._post(to, header)
        self.comm.sent = sent  # (headers are no part of the training)

    def _shape(self, kind: Kind, source: int) -> torch.Tensor:
        """The shape of what is due; asked for where it was never told."""
        known = (kind[0], "F", kind[2])  # (a gradient has its output's)
        if known not in self.shapes:
            header = torch.zeros(RANKS + 2, dtype=torch.int64)
            message = source, self.comm.rank
            got = self.comm.wait(self.comm.post({}, {message: {"": header}}))[message][""].tolist()
            shape = got[2 : 2 + got[0]]
            self.shapes[known] = torch.empty(shape, dtype=DTYPES[got[1]], device="meta")
        return self.shapes[known]

    def _receive(self, source: int, last: Action | None) -> None:
        """Open receives from a rank: up to an action, or as far ahead as shapes are known."""
        due = self.due[source]
        while due and (last is not None or self._ahead(source) < AHEAD):
            kind = self._kind(due[0])
            if last is None and (kind[0], "F", kind[2]) not in self.shapes:
                return
            like = self._shape(kind, source)
            buffer = torch.empty(like.shape, dtype=like.dtype, device=self.device)
            action = due.popleft()
            self.open[action] = self.comm.post({}, {(source, self.comm.rank): {"": buffer}})  # [3]
            if action == last:
                last = None

    def _ahead(self, source: int) -> int:
        return sum(self._source(action) == source for action in self.open)

    def _source(self, receiving: Action) -> int:
        giver = sender(self.table, receiving)
        assert giver is not None
        return self.table.home[giver.stage]

    def ready(self, action: Action) -> bool:
        """Whether an action can begin here without waiting."""
        if action.op == "F":
            return not action.stage or action in self.mail
        last = action.stage + 1 == self.table.stages
        return action.op not in "BI" or last or action in self.mail

    def take(self, action: Action) -> torch.Tensor:
        """What an action needs; waited for."""
        if action in self.mail:
            return self.mail.pop(action)
        source = self._source(action)
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

    def finish(self) -> None:
        """Wait for all sends."""
        while self.sends:
            self.comm.wait(self.sends.popleft())


def refuse(value: torch.Tensor, action: Action, name: str) -> None:
    """Send nothing that is not finite.

    Raises:
        NotFinite: names the stage and what it was about to send.
    """
    if not math.isfinite(float(value.sum())) and not bool(torch.isfinite(value).all()):
        what = "its output" if action.op == "F" else "the gradient of its inputs"
        raise NotFinite(
            f"stage {action.stage} has NaN or infinity in {what} for minibatch "
            f"{action.minibatch} ({name}): it was not sent. Lower the learning rate, or look at "
            "that stage's weights"
        )
