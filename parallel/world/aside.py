"""Exchanges what ranks tell each other beside the plan: place, digest of the run, one number."""

import struct
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from parallel.world.faults import Faults, Mismatch, different
from parallel.world.group import Group

CHECK_EVERY = 100  # rounds between two comparisons of what all ranks run
WORDS = "dq64s"  # a number, a digest, a place


class Aside:
    """One rank's side of such exchanges, which all ranks begin in the same order."""

    def __init__(self, group: Group, faults: Faults):
        self.group, self.faults, self.rounds = group, faults, 0

    def tell(
        self, at: str, value: float = 0.0, digest: int = 0, among: int = 0
    ) -> list[tuple[float, int]]:
        """Return the number and the digest of each rank, after telling one's own.

        With `among`, of each rank that is in one row of so many with this one.

        Raises:
            Mismatch: not all are at the same place.
            PeerLost: not all have answered.
        """
        packed = bytearray(struct.pack(WORDS, value, digest, at.encode()))
        mine = torch.frombuffer(packed, dtype=torch.uint8).to(self.group.device)
        ranks: Sequence[int] = ()
        each: list[torch.Tensor] = []
        try:
            ranks, _, group = self.group.around(self.faults.rank, self.faults.workers, among)
            each = [torch.empty_like(mine) for _ in ranks]
            dist.all_gather(each, mine, group=group)
        except RuntimeError as error:
            self.faults.blame(at, error, None, ranks)
        told: list[Any] = [struct.unpack(WORDS, bytes(one.tolist())) for one in each]
        words = zip(ranks, told, strict=True)
        places = {r: place.rstrip(b"\0").decode() for r, (_, _, place) in words}
        if len(set(places.values())) > 1:
            raise different(places, self.faults.advice)
        return [(number, theirs) for number, theirs, _ in told]

    def check(self, at: str, digest: int, now: bool) -> None:
        """Check that all run the same, in every hundredth round, or now.

        Raises:
            Mismatch: they do not.
        """
        self.rounds += 1
        if not now and self.rounds % CHECK_EVERY != 1:
            return
        digests = [theirs for _, theirs in self.tell(at, digest=digest)]
        if len(set(digests)) > 1:
            raise Mismatch(
                "ranks do not run the same thing: model, strategy, seed, data and batch_size have "
                f"to agree (digests {', '.join(f'{one:x}' for one in digests)})"
            )
