"""The ranks of one replica of a pipeline, as a world of their own.

    world      0 1 2 3 4 5 6 7         4 stages, 2 replicas
    replica    0 0 0 0 1 1 1 1
    rank       0 1 2 3 0 1 2 3         in the table, and here

In a simulation all ranks of the replica are in this process, as all replicas are.
"""

from collections.abc import Mapping

from parallel.world.comm import Comm, State, Ticket
from parallel.world.ops import Message


class Lane(Comm):
    """One replica's part of a world; bytes are counted, and places told, in the world's name.

    Args:
        world: All ranks.
        replica: Which replica this is.
        ranks: How many ranks each replica has.
    """

    def __init__(self, world: Comm, replica: int, ranks: int):
        self.world, self.first, self.workers = world, replica * ranks, ranks
        self.alone, self.timeout, self.elastic = world.alone, world.timeout, world.elastic
        self.rank = 0 if world.alone else world.rank - self.first
        self.ranks = list(range(ranks)) if world.alone else [self.rank]
        self.whose = f" of replica {replica}"

    @property
    def sent(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Bytes that the world's ranks here have sent."""
        return self.world.sent

    @sent.setter
    def sent(self, value: float) -> None:
        self.world.sent = value

    @property
    def at(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where this process is, for messages."""
        return self.world.at

    @at.setter
    def at(self, value: str) -> None:
        self.world.at = value

    def number(self, rank: int) -> int:
        """Which rank of the world one of the replica's is."""
        return self.first + rank

    def post(
        self,
        messages: Mapping[Message, State],
        expect: Mapping[Message, State],
        counted: bool = True,
    ) -> Ticket:
        """As the world does, with its own numbers for ranks."""
        return self.world.post(self._moved(messages, 1), self._moved(expect, 1), counted)

    def wait(self, ticket: Ticket) -> dict[Message, State]:
        """As the world does."""
        return self._moved(self.world.wait(ticket), -1)

    def _moved(self, messages: Mapping[Message, State], sign: int) -> dict[Message, State]:
        by = sign * self.first
        return {(i + by, j + by): state for (i, j), state in messages.items()}

    def everyone(self, value: float) -> list[float]:
        """A number of each rank of this replica; all replicas ask at once."""
        told = self.world.everyone(value)
        return told if self.alone else told[self.first : self.first + self.workers]
