"""Whether a table can be run: a legal order of all its actions, and what is wrong with it in words.

`check(table)` is for tables of somebody else; those of `schedules` pass it. Everything here takes
time in proportion to the number of actions.
"""

import random
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator

from parallel.pipeline.actions import OPS, Action, Table, needs


def order(table: Table, seed: int | None = None) -> Iterator[Action]:
    """All actions, each after what it needs and after those before it on its rank.

    Args:
        table: Whose actions.
        seed: None for table order: the ranks in turn, each one action at a time where it can.
            A number: each time any of the ranks that can, drawn with this seed.

    Raises:
        ValueError: no rank can go on; says which waits for what. Actions before are given out.
    """
    run, draw = _Run(table), random.Random(seed)
    last = -1
    while run.ready:
        last = run.after(last) if seed is None else draw.choice(run.ready)
        yield run.take(last)
    if run.blocked:
        raise ValueError(f"table {table.name!r} is stuck: {'; '.join(run.waits())}")


class _Run:
    """How far each rank is, which can go on (`ready`, sorted), and what the others wait for."""

    def __init__(self, table: Table):
        self.table = table
        self.place = [0] * len(table.ranks)
        self.done: set[Action] = set()
        self.ready: list[int] = []
        self.blocked: dict[Action, list[int]] = {}
        for rank in range(len(table.ranks)):
            self.look(rank)

    def look(self, rank: int) -> None:
        """Put a rank among the ready, or to those that wait for the first action that lacks."""
        row = self.table.ranks[rank]
        if self.place[rank] == len(row):
            return
        for need in needs(self.table, row[self.place[rank]]):
            if need not in self.done:
                self.blocked.setdefault(need, []).append(rank)
                return
        insort(self.ready, rank)

    def after(self, last: int) -> int:
        """The ready rank whose turn it is."""
        return next((rank for rank in self.ready if rank > last), self.ready[0])

    def take(self, rank: int) -> Action:
        """The next action of a ready rank, done; wakes those that waited for it."""
        action = self.table.ranks[rank][self.place[rank]]
        self.place[rank] += 1
        self.done.add(action)
        self.ready.remove(rank)
        for one in (rank, *self.blocked.pop(action, ())):
            self.look(one)
        return action

    def waits(self) -> Iterator[str]:
        """Such as "rank 1 waits at 1F0 for 0F0"; an action that comes too late is said so."""
        name = self.table.name_of
        for need, ranks in sorted(self.blocked.items(), key=lambda item: item[1]):
            for rank in ranks:
                row, place = self.table.ranks[rank], self.place[rank]
                own = ", which this rank takes later" if need in row[place:] else ""
                yield f"rank {rank} waits at {name(row[place])} for {name(need)}{own}"


def check(table: Table) -> None:
    """Refuse a table that cannot be run, or that would train something else.

    Each stage is on one rank; for each micro-batch it has one F and one B (or one I and one W), and
    for each minibatch one U, in their order; and no rank waits for ever.

    Raises:
        ValueError: says what came and what was expected.
    """
    if not isinstance(table, Table):
        raise ValueError(
            f"a schedule makes a parallel.Table from stages, minibatches and micro, got {table!r}"
        )
    try:
        _check_stages(table)
        _check_numbers(table)
        _check_updates(table)
    except ValueError as error:
        raise ValueError(f"table {table.name!r}: {error}") from None
    for _ in order(table):
        pass


def _check_stages(table: Table) -> None:
    """All actions are of known ops and stages; each stage lives on one rank, on each rank one."""
    home: dict[int, int] = {}
    for rank, row in enumerate(table.ranks):
        if not row:
            raise ValueError(f"rank {rank} has nothing to do: expected a stage on every rank")
        for action in row:
            _check_action(table, action)
            first = home.setdefault(action.stage, rank)
            if first != rank:
                raise ValueError(
                    f"stage {action.stage} is on rank {first} and, with {table.name_of(action)}, "
                    f"on rank {rank}: expected each stage on one rank"
                )


def _check_action(table: Table, action: Action) -> None:
    stage, op, t, j = action
    if len(op) != 1 or op not in OPS:
        raise ValueError(f"unknown op {op!r} in {tuple(action)}: there are {', '.join(OPS)}")
    limits = ("stage", stage, table.stages), ("minibatch", t, table.minibatches)
    for what, number, limit in (*limits, ("micro-batch", j, 1 if op == "U" else table.micro)):
        if not 0 <= number < limit:
            raise ValueError(
                f"{tuple(action)} is of {what} {number}: expected "
                + (f"0 to {limit - 1}" if limit > 1 else "0")
            )


def _check_numbers(table: Table) -> None:
    """Each action that there must be comes once, and no other."""
    count = Counter(a for row in table.ranks for a in row)
    for action, times in count.items():
        if times > 1:
            raise ValueError(f"{table.name_of(action)} comes {times} times: expected once")
    for action in count:
        if action.op == "B" and table.split(action.stage):
            raise ValueError(
                f"stage {action.stage} has I or W, and {table.name_of(action)}: expected its "
                "backward passes all whole (B) or all in halves (I and W)"
            )
    for action in _expected(table):
        if action not in count:
            raise ValueError(f"{table.name_of(action)} is missing: expected once")


def _expected(table: Table) -> Iterator[Action]:
    for stage in range(table.stages):
        ops = "FIW" if table.split(stage) else "FB"
        for t in range(table.minibatches):
            for op in ops:
                yield from (Action(stage, op, t, j) for j in range(table.micro))
            yield Action(stage, "U", t)


def _check_updates(table: Table) -> None:
    """The updates of a stage are in the order of their minibatches."""
    made: dict[int, int] = defaultdict(int)
    for action in (a for row in table.ranks for a in row if a.op == "U"):
        if action.minibatch != made[action.stage]:
            raise ValueError(
                f"{table.name_of(action)} comes before {action.stage}U{made[action.stage]}: "
                "expected the updates of a stage in the order of its minibatches"
            )
        made[action.stage] += 1
