"""Describes what is sent in a step, as data that every rank knows beforehand.

    AllReduce("gradients")   every worker gets the (weighted) mean; "state": of what is averaged
    AllReduce("gradients", codec)    the mean of what is sent in a codec (parallel.world.codecs)
    AllReduce(what, among=g)    g workers in a row have a mean of their own
    Exchange(i, j)           i and j send each other their state
    Push(i, j)               i sends its state to j
    Send(i, j), Receive(j, i)    the two sides of a push, for those who plan them apart
    Scatter(), Gather()      rank 0 gives every worker its piece, or takes it back
    ReduceScatter(what)      each worker gets its slice of the (weighted) mean of "gradients"
    AllGather(what)          each worker gives its slice of "params" to all others

A Round has operations before the optimizer's step (they read the weights as they were, or the
gradients) and after it. CENTRE is an extra worker that a strategy may have; it lives with rank 0.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from parallel.world.codecs import Codec

CENTRE = -1


@dataclass(frozen=True)
class AllReduce:
    """The mean over all workers, for all workers, of "gradients" or of the "state".

    With `among`, workers 0 to among - 1 have one of their own, and so have the next ones.
    """

    what: str = "state"
    codec: Codec | None = None
    among: int = 0


@dataclass(frozen=True)
class Exchange:
    """Two workers send each other their states."""

    i: int
    j: int


@dataclass(frozen=True)
class Push:
    """One worker sends its state to another."""

    source: int
    target: int


@dataclass(frozen=True)
class Send:
    """The sending side: what `rank` does; `peer` must have a Receive for it."""

    rank: int
    peer: int


@dataclass(frozen=True)
class Receive:
    """The receiving side: what `rank` does; `peer` must have a Send for it."""

    rank: int
    peer: int


@dataclass(frozen=True)
class Scatter:
    """Rank 0 sends each worker its own piece."""


@dataclass(frozen=True)
class Gather:
    """Each worker sends its piece to rank 0."""


@dataclass(frozen=True)
class ReduceScatter:
    """Each worker gets its own slice of the mean over all workers."""

    what: str = "gradients"


@dataclass(frozen=True)
class AllGather:
    """Each worker gives its own slice to all others, so that all have the whole."""

    what: str = "params"


Op = AllReduce | Exchange | Push | Send | Receive | Scatter | Gather | ReduceScatter | AllGather
Message = tuple[int, int]  # from, to


@dataclass(frozen=True)
class Round:
    """The operations of one step."""

    before: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.before or self.after)

    @cached_property
    def gradients(self) -> AllReduce | None:
        """The mean of gradients before the step, if there is one."""
        means = (op for op in self.before if isinstance(op, AllReduce) and op.what == "gradients")
        return next(means, None)

    def digest(self) -> int:
        """Return a number that differs where plans differ."""
        return zlib.crc32(repr(self).encode())


NOTHING = Round()


def messages(ops: Iterable[Op]) -> list[Message]:
    """List who sends whole states to whom, in a fixed order."""
    return sorted(_messages(ops))


def _messages(ops: Iterable[Op]) -> Iterator[Message]:
    for op in ops:
        match op:
            case Exchange(i, j):
                yield from ((i, j), (j, i))
            case Push(i, j) | Send(i, j):
                yield i, j


def host(worker: int) -> int:
    """Return the rank where a worker lives."""
    return 0 if worker == CENTRE else worker


def check(plan: Round, workers: int, centre: bool = True) -> Round:
    """Check that nobody can wait for ever: every message has both its ends, and they exist.

    Raises:
        ValueError: names the operation that nobody answers.
    """
    if any(isinstance(op, AllReduce) and op.what == "gradients" for op in plan.after):
        raise ValueError("plan: gradients are averaged before the step, not after it")
    if any(isinstance(op, ReduceScatter) for op in plan.after):
        raise ValueError("plan: gradients are scattered before the step, not after it")
    for ops in (plan.before, plan.after):
        _check_ranks(ops, workers, CENTRE if centre else 0)
        means = [op for op in ops if isinstance(op, AllReduce)]
        for op in means:
            _check_codec(op)
            _check_groups(op, workers)
        if means and (len(ops) > 1 or means[0].what not in ("gradients", "state")):
            raise ValueError(
                f'plan: {ops}: an AllReduce of "gradients" or "state" stands alone before or after '
                "the step"
            )
        sent = Counter((op.rank, op.peer) for op in ops if isinstance(op, Send))
        awaited = Counter((op.peer, op.rank) for op in ops if isinstance(op, Receive))
        for i, j in sent - awaited:
            raise ValueError(f"plan: Send({i}, {j}) has no Receive({j}, {i}); add it, or use Push")
        for i, j in awaited - sent:
            raise ValueError(f"plan: Receive({j}, {i}) has no Send({i}, {j}): {j} would wait")
        for message, n in Counter(messages(ops)).items():
            if n > 1:
                raise ValueError(f"plan: {n} messages from {message[0]} to {message[1]} at once")
    return plan


def _check_groups(op: AllReduce, workers: int) -> None:
    if type(op.among) is not int or op.among < 0 or (op.among and workers % op.among):
        raise ValueError(f"plan: {op}: {workers} workers are not divided into groups of {op.among}")
    if op.among and op.what != "gradients":
        raise ValueError(f'plan: {op}: of groups, "gradients" can be averaged, and no state')


def _check_ranks(ops: Iterable[Op], workers: int, least: int) -> None:
    for op in ops:
        if not isinstance(op, Op):
            raise ValueError(f"plan: {op!r} is no operation (Push, Exchange, AllReduce, ...)")
        if isinstance(op, AllReduce):
            continue
        ends = [v for v in vars(op).values() if not isinstance(v, str)]
        if any(type(end) is not int for end in ends):
            raise ValueError(f"plan: {op} names workers by something else than int")
        if any(not (least <= end < workers) for end in ends):
            raise ValueError(f"plan: {op} names a worker that is not there; there are {workers}")
        if len(ends) == 2 and ends[0] == ends[1]:
            raise ValueError(f"plan: {op} sends to itself")


def _check_codec(op: AllReduce) -> None:
    if op.codec is not None and not isinstance(op.codec, Codec):
        raise ValueError(f"plan: {op}: a codec is an object such as Bfloat16()")
    if op.codec and op.what != "gradients":
        raise ValueError(f"plan: {op}: only gradients have a codec; states go as they are")
    if op.codec and op.among:
        raise ValueError(f"plan: {op}: a codec is for the mean of all workers, not of groups")


def all_sent(ops: Iterable[Op], table: dict[int, dict[int, float]]) -> None:
    """Refuse a mixing that needs what nobody sends."""
    sent = set(messages(ops))
    for i, row in table.items():
        for k in row:
            if k != i and (k, i) not in sent:
                what = f"mixing: {i} mixes in {k}, but the plan has no message from {k} to {i}"
                raise ValueError(what)


def traffic(ops: Iterable[Op], workers: int, size: float) -> float:
    """Return the bytes that all workers send for these, if a state has `size` bytes.

    An all-reduce is a ring: each sends 2 (n - 1) / n of its size, or what its codec says; a
    reduce-scatter or an all-gather of slices is half of that. Between workers that live at one
    place (the centre and rank 0) nothing is sent. Pieces (Scatter, Gather) count themselves.
    """
    ops = list(ops)
    means = sum(copies(op, workers) for op in ops if isinstance(op, AllReduce))
    halves = sum(isinstance(op, ReduceScatter | AllGather) for op in ops)
    sent = sum(host(i) != host(j) for i, j in messages(ops))
    return size * (means + halves * (workers - 1) + sent)


def copies(op: AllReduce, workers: int) -> int:
    """Return how often all workers together send what one has to be averaged."""
    if op.codec:
        return op.codec.copies(workers)
    return ring(workers, op.among)


@cache
def ring(workers: int, among: int = 0) -> int:
    """Return how many times its size all workers send for a mean, of all or in groups."""
    each = among or workers
    return 2 * (each - 1) * (workers // each)
