"""The same talks between processes: one worker each, over torch.distributed.

Every wait ends after `timeout` seconds. Who fails leaves a note in the store, so that the others
can say who it was; who leaves none within a moment is the one that does not answer. Messages are
one flat buffer per dtype. With `elastic`, a peer that is gone is left out from then on; means over
all then go through rank 0, which has to live.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from parallel.world import packing
from parallel.world.comm import Comm, State, Table, Ticket, kept, nbytes, normal, refuse, size
from parallel.world.ops import CENTRE, Message, Op, host, messages
from parallel.world.rendezvous import from_environment, short, store_of

if TYPE_CHECKING:
    from parallel.world.world import World

CHECK_EVERY = 100  # rounds between two comparisons of where all ranks are
LOST = "lost touch at "
WEIGHT = "weight of this worker"
WORDS = "dq64s"  # what ranks tell each other aside: a number, a digest, where they are


class PeerLost(RuntimeError):
    """Somebody did not answer."""


class Mismatch(ValueError):
    """Ranks are not at the same place."""


class Wire(Comm):
    """One rank of several processes."""

    alone = False
    advice = ""  # at the end of messages
    noted = False  # whether this rank has left word

    def __init__(self, rank: int, workers: int, store: Any, timeout: float, elastic: bool):
        super().__init__(workers)
        self.rank, self.ranks, self.store = rank, [rank], store
        self.timeout, self.elastic, self.rounds = timeout, elastic, 0
        self.device, self.own_group = torch.device("cpu"), True
        # A second group for telemetry and checks: a rank that is elsewhere is then waited for and
        # named; in one group gloo ends the process when sizes do not match.
        self.aside: Any = None

    @classmethod
    def join(cls, world: "World") -> "Wire":
        """As the environment says.

        Raises:
            ValueError: the environment gives no rank, or the port is taken.
        """
        found = from_environment()
        rank, workers = found["RANK"], found["WORLD_SIZE"]
        store = store_of(found, world.timeout)
        comm = cls(rank, workers, store, world.timeout, world.elastic)
        comm.open(world.backend, local=int(os.environ.get("LOCAL_RANK") or rank))
        return comm

    def open(self, backend: str | None, local: int) -> None:
        """Meet the others; NCCL where each rank here has a GPU of its own."""
        here = int(os.environ.get("LOCAL_WORLD_SIZE", self.workers))
        if backend is None:
            backend = "nccl" if 0 < here <= torch.cuda.device_count() else "gloo"
        if backend == "nccl":
            self.device = torch.device("cuda", local)
            torch.cuda.set_device(self.device)
        try:
            dist.init_process_group(
                backend,
                store=self.store,
                rank=self.rank,
                world_size=self.workers,
                timeout=timedelta(seconds=self.timeout),
            )
            self.aside = dist.new_group(timeout=timedelta(seconds=self.timeout))
        except RuntimeError as error:
            raise PeerLost(
                f"rank {self.rank}: not all of {self.workers} ranks came within {self.timeout:g} s "
                f"({short(error)})"
            ) from None

    def place(self, worker: int) -> int:
        """Row of a worker that lives here."""
        return 1 if worker == CENTRE else 0

    def combine(self, ops: Sequence[Op], rows: State, table: Table) -> State:
        """Send and receive whole states, then add up what came."""
        refuse(rows, [self.rank, CENTRE])
        every = messages(ops)
        out = {m: _row(rows, self.place(m[0])) for m in every if host(m[0]) == self.rank}
        like = _row(rows, 0)
        expect = {m: like for m in every if host(m[1]) == self.rank}
        got = self.wait(self.post(out, expect))
        found = {name: torch.zeros_like(value) for name, value in rows.items()}
        for i, row in table.items():
            if host(i) == self.rank:
                self._add_up(found, rows, i, row, got)
        return found

    def _add_up(self, found: State, rows: State, i: int, row: dict[int, float], got) -> None:
        """Row i of the table; the weight of those who did not come goes to i itself."""
        came = {k: w for k, w in row.items() if k != i and (k, i) in got}
        own = sum(w for k, w in row.items() if k not in came)
        to = self.place(i)
        for name, value in rows.items():
            total = value[to] * own
            for k in sorted(came):
                total = total + got[k, i][name] * came[k]
            found[name][to] = total

    def post(
        self,
        messages: Mapping[Message, State],
        expect: Mapping[Message, State],
        counted: bool = True,
    ) -> Ticket:
        """Post all sends and receives, in one order on all ranks; wait for none."""
        if not counted:
            self._together()
        here = {m: messages[m] for m in expect if host(m[0]) == self.rank}
        ticket = Ticket(kept(here), expect)
        for m in sorted({*messages, *expect}):
            source, target = map(host, m)
            if source == target or self.dead & {source, target}:
                continue
            if source == self.rank:
                packed = packing.pack(messages[m])
                self.sent += counted * nbytes(dict(enumerate(packed)))  # pyright: ignore
                self._begin(ticket, target, m, dist.isend, packed)
            elif target == self.rank:
                ticket.buffers[m] = packing.empty(expect[m])
                self._begin(ticket, source, m, dist.irecv, ticket.buffers[m])
        return ticket

    def _begin(self, ticket: Ticket, peer: int, m: Message, how: Callable, buffers: list) -> None:
        for buffer in buffers:
            try:
                ticket.works.append((peer, m, how(buffer, peer)))
            except RuntimeError as error:
                ticket.lost |= self._gone(peer, m, error)

    def wait(self, ticket: Ticket) -> dict[Message, State]:
        """All of the ticket's messages but those of the dead, where that may be (`elastic`)."""
        end = time.monotonic() + self.timeout
        for peer, m, work in ticket.works:
            left = max(end - time.monotonic(), 0.001)  # (0 would be gloo's own limit)
            try:
                work.wait(timedelta(seconds=left))
            except RuntimeError as error:
                ticket.lost |= self._gone(peer, m, error)
        came = {m: packed for m, packed in ticket.buffers.items() if m not in ticket.lost}
        return ticket.here | {m: packing.unpack(v, ticket.expect[m]) for m, v in came.items()}

    def _gone(self, peer: int, m: Message, error: RuntimeError) -> set[Message]:
        # (after a wait that was too long gloo ends all of its connections: only the dead, whose
        # connection is closed, can be done without)
        if not self.elastic or "timed out" in str(error).lower():
            self._fail(error, [peer])
        self.dead.add(peer)
        return {m}

    def mean(
        self, rows: State, counts: Sequence[float], counted: bool = True, finite: bool = True
    ) -> State:
        """A weighted sum over all ranks."""
        if not counted:
            self._together()
        elif finite:
            refuse(rows, self.ranks)
        one = _row(rows, 0)
        weight = normal(counts)[self.rank]
        if self.elastic:
            mixed = self._living_mean(one, weight)
        else:
            mixed = [part * weight for part in packing.pack(one)]
            for part in mixed:
                group = None if counted else self.aside
                self._all(lambda part=part, group=group: dist.all_reduce(part, group=group))
        if counted:
            self.sent += 2 * (self.workers - 1) / self.workers * size(rows)
        found = packing.unpack(mixed, one)
        return {k: v.unsqueeze(0) for k, v in found.items()}

    def _living_mean(self, own: State, weight: float) -> list[torch.Tensor]:
        """The same over those who live: rank 0 weighs what came."""
        sent = own | {WEIGHT: torch.tensor(weight, dtype=torch.float64)}

        def reduce(parts: list[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
            came = [packing.unpack(one, sent) for one in zip(*parts, strict=True)]
            shares = normal([float(one[WEIGHT]) for one in came])
            pairs = list(zip(shares, came, strict=True))
            return packing.pack({k: sum(s * one[k] for s, one in pairs) for k in sent})  # pyright: ignore

        found = packing.unpack(self._star(sent, reduce), sent)
        return packing.pack({k: found[k] for k in own})

    def _star(self, own: State, reduce: Callable[[list], list[torch.Tensor]]) -> list:
        """Through rank 0: what `reduce` makes of the buffers of those who live."""
        if self.rank:
            self.wait(self.post({(self.rank, 0): own}, {}, counted=False))
            got = self.wait(self.post({}, {(0, self.rank): own}, counted=False))
            if 0 in self.dead:
                self._fail(RuntimeError("rank 0 is gone"), [0])
            return packing.pack(got[0, self.rank])
        others = range(1, self.workers)
        got = self.wait(self.post({}, {(r, 0): own for r in others}, counted=False))
        parts = [packing.pack(own), *map(packing.pack, got.values())]
        mixed = reduce(list(zip(*parts, strict=True)))
        whole = packing.unpack(mixed, own)
        self.wait(self.post({(0, r): whole for r in others}, {}, counted=False))
        return mixed

    def everyone(self, value: float) -> list[float]:
        """A number of each rank that lives."""
        if self.elastic:
            own = torch.zeros(self.workers, dtype=torch.float64)
            own[self.rank] = value
            add = lambda parts: [torch.stack(parts[0]).sum(0)]  # noqa: E731
            known = self._star({"": own}, add)[0].tolist()
            return [v for r, v in enumerate(known) if r not in self.dead]
        return [number for number, _ in self._together(value)]

    def agree(self, step: int, digest: int, now: bool = False) -> None:
        """Whether all are at the same place; asked in every hundredth round.

        Raises:
            Mismatch: says where each rank is.
        """
        self.rounds, self.at = self.rounds + 1, f"{'the end of ' * now}step {step}"
        if self.elastic or not (now or self.rounds % CHECK_EVERY == 1):
            return
        digests = [theirs for _, theirs in self._together(digest=digest)]
        if len(set(digests)) > 1:
            raise Mismatch(
                "ranks do not run the same thing: model, strategy, seed, data and batch_size have "
                f"to agree (digests {', '.join(f'{one:x}' for one in digests)})"
            )

    def _together(self, value: float = 0.0, digest: int = 0) -> list[tuple[float, int]]:
        """A number and a digest of each rank; begins all that is not part of a plan.

        Raises:
            Mismatch: not all are at the same place.
        """
        if self.elastic:
            return []
        words = bytearray(struct.pack(WORDS, value, digest, self.at.encode()))
        mine = torch.frombuffer(words, dtype=torch.uint8).to(self.device)
        each = [torch.empty_like(mine) for _ in range(self.workers)]
        self._all(lambda: dist.all_gather(each, mine, group=self.aside))
        told = [struct.unpack(WORDS, bytes(one.tolist())) for one in each]
        places = {r: at.rstrip(b"\0").decode() for r, (_, _, at) in enumerate(told)}
        if len(set(places.values())) > 1:
            raise _different(places, self.advice)
        return [(number, theirs) for number, theirs, _ in told]

    def _all(self, collective: Callable[[], Any]) -> None:
        try:
            collective()
        except RuntimeError as error:
            self._fail(error, None)

    def _fail(self, error: RuntimeError, peers: list[int] | None) -> None:
        """Say who it was, as far as that can be known."""
        notes = self._notes(f"{LOST}{self.at}", peers)
        places = {r: t.removeprefix(LOST) for r, t in notes.items() if t.startswith(LOST)}
        if len(places) == self.workers and len(set(places.values())) > 1:
            raise _different(places, self.advice) from None
        if peers is None:
            peers = [r for r in range(self.workers) if r not in notes]
        # Who only lost touch as well is not who is missing.
        told = {r: t for r, t in notes.items() if r != self.rank and not t.startswith(LOST)}
        who = ", ".join(f"rank {r}" for r in peers if r not in told)
        parts = [f"{who} did not answer"] * bool(who)
        parts += [f"rank {r} stopped: {text}" for r, text in told.items()]
        raise PeerLost(
            f"rank {self.rank}, at {self.at}: {'; '.join(parts) or 'a peer was lost'} (waited up "
            f"to {self.timeout:g} s; {short(error)}){'' if told else self.advice}"
        ) from None

    def note(self, text: str) -> None:
        """Leave word for the others before going."""
        self.noted = True
        with contextlib.suppress(RuntimeError, ValueError):
            self.store.set(f"note/{self.rank}", text[:500])

    def _notes(self, own: str, peers: list[int] | None) -> dict[int, str]:
        """The notes that are there within a moment, of these ranks or all."""
        self.note(own)
        wanted, found = set(peers or range(self.workers)), {}
        end = time.monotonic() + grace(self.timeout)
        with contextlib.suppress(RuntimeError, ValueError):  # the store may be gone as well
            while wanted - set(found) and time.monotonic() < end:
                for r in wanted - set(found):
                    if self.store.check([f"note/{r}"]):
                        found[r] = self.store.get(f"note/{r}").decode(errors="replace")
                time.sleep(0.05)
        return found

    def __deepcopy__(self, memo: dict) -> "Wire":
        return self  # the same place in the same group

    def __reduce__(self):
        raise TypeError(
            "a process' place in its group cannot be saved: save net.state_dict() (or "
            "net.training_state(optimizer)), not the wrapper itself"
        )

    def close(self) -> None:
        """Leave the group; never longer than a moment."""
        if self.own_group and dist.is_initialized():
            leaving = threading.Thread(target=dist.destroy_process_group, daemon=True)
            leaving.start()
            leaving.join(grace(self.timeout))


@contextlib.contextmanager
def closing(comm: Wire) -> Iterator[Wire]:
    """Who fails says why to the others; the group is left in any case."""
    try:
        yield comm
    except BaseException as error:
        if not isinstance(error, PeerLost | GeneratorExit):
            comm.note(f"{type(error).__name__}: {error}")
        raise
    finally:
        comm.close()


def grace(timeout: float) -> float:
    """Seconds in which who is alive has left a note."""
    return min(5.0, timeout / 4)


def _different(steps: dict[int, str], advice: str) -> Mismatch:
    places = ", ".join(f"rank {r} at {k}" for r, k in sorted(steps.items()))
    hint = advice if "eval()" in places else ""
    return Mismatch(
        f"ranks are at different places ({places}): all have to start from the same step{hint}"
    )


def _row(rows: State, i: int) -> State:
    return {k: v[i] for k, v in rows.items()}
