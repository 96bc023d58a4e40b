"""Finds out whose fault it was: notes of those that stop, and the sentence that others raise.

Who fails leaves a note in the store. Who waited in vain leaves one that it lost touch, and looks
for those of the others for a moment: who has left none is the one that does not answer.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from parallel.world.rendezvous import short
from parallel.world.within import within

LOST = "lost touch at "


class PeerLost(RuntimeError):
    """Raised where another rank did not answer."""


class Mismatch(ValueError):
    """Raised where ranks are not at the same place."""


class Faults:
    """The notes of one rank.

    Args:
        store: Where notes are kept.
        rank: The rank that leaves these notes.
        workers: How many ranks there are.
        timeout: Seconds that this rank waits for others, for the sentences.
    """

    def __init__(self, store: Any, rank: int, workers: int, timeout: float):
        self.store, self.rank, self.workers, self.timeout = store, rank, workers, timeout
        self.advice = ""  # at the end of sentences
        self.noted = False  # whether this rank has left word

    def note(self, text: str) -> None:
        """Leave word for the others before going."""
        self.noted = True
        with contextlib.suppress(RuntimeError, ValueError, TimeoutError):  # the store may be gone
            within(grace(self.timeout), self.store.set, f"note/{self.rank}", text[:500])

    def blame(
        self, at: str, error: Exception, peers: list[int] | None, ring: Sequence[int] = ()
    ) -> NoReturn:
        """Raise an error that says whose fault it was, as far as that can be known.

        Args:
            at: Where this rank is.
            error: What a wait has ended with.
            peers: Who was waited for; None: everybody in the ring.
            ring: Who is in it; none are all.

        Raises:
            Mismatch: all are there, at different places.
            PeerLost: names those that do not answer, and says why others stopped.
        """
        notes = self._read(f"{LOST}{at}", peers)
        places = {r: t.removeprefix(LOST) for r, t in notes.items() if t.startswith(LOST)}
        if len(places) == self.workers and len(set(places.values())) > 1:
            raise different(places, self.advice) from None
        if peers is None:
            whole = ring or range(self.workers)
            peers = [r for r in whole if r not in notes and r != self.rank]
        # Who only lost touch as well is not who is missing.
        told = {r: t for r, t in notes.items() if r != self.rank and not t.startswith(LOST)}
        who = ", ".join(f"rank {r}" for r in peers if r not in told)
        parts = [f"{who} did not answer"] * bool(who)
        parts += [f"rank {r} stopped: {text}" for r, text in told.items()]
        raise PeerLost(
            f"rank {self.rank}, at {at}: {'; '.join(parts) or 'a peer was lost'} (waited up "
            f"to {self.timeout:g} s; {short(error)}){'' if told else self.advice}"
        ) from None

    def _read(self, own: str, peers: list[int] | None) -> dict[int, str]:
        """Return the notes that are there within a moment, of these ranks or all."""
        self.note(own)
        found: dict[int, str] = {}
        wanted, moment = set(peers or range(self.workers)), grace(self.timeout)
        with contextlib.suppress(RuntimeError, ValueError, TimeoutError):
            within(moment + 1, self._look, wanted, found, time.monotonic() + moment)
        return dict(found)

    def _look(self, wanted: set[int], found: dict[int, str], end: float) -> None:
        while wanted - set(found) and time.monotonic() < end:
            for r in wanted - set(found):
                if self.store.check([f"note/{r}"]):
                    found[r] = self.store.get(f"note/{r}").decode(errors="replace")
            time.sleep(0.05)


def grace(timeout: float) -> float:
    """Return the seconds in which whoever is alive has left a note."""
    return min(5.0, timeout / 4)


def different(places: dict[int, str], advice: str) -> Mismatch:
    """Return the error for ranks that are at different places."""
    text = ", ".join(f"rank {r} at {place}" for r, place in sorted(places.items()))
    hint = advice if "eval()" in text else ""
    return Mismatch(
        f"ranks are at different places ({text}): all have to start from the same step{hint}"
    )
