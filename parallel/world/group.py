"""Enters and leaves the process groups in which a world's ranks meet, within the timeout."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from parallel.world import interface
from parallel.world.cards import refuse_few
from parallel.world.faults import PeerLost, grace
from parallel.world.rendezvous import short
from parallel.world.within import within


class Group:
    """Two groups of the same ranks.

    Plans go through the first. Telemetry and checks have a second one, `aside`: a rank that is
    elsewhere is then waited for and named; in one group gloo ends the process when sizes differ.
    Some ranks in a row may have two of their own, for the same purposes.
    """

    def __init__(self, timeout: float):
        self.timeout = timeout
        self.device = torch.device("cpu")
        self.own = False  # whether the first group was opened here
        self.aside: Any = None
        self.parts: dict[int, Any] = {}  # this rank's two of so many, made when first needed

    def open(
        self, store: Any, rank: int, workers: int, backend: str | None = None, local: int = 0
    ) -> None:
        """Meet the others; by NCCL where each rank here has a GPU of its own.

        Raises:
            PeerLost: not all came in time.
        """
        here = int(os.environ.get("LOCAL_WORLD_SIZE", workers))
        if backend is None:
            backend = "nccl" if 0 < here <= torch.cuda.device_count() else "gloo"
        if backend == "nccl":
            refuse_few(here)
            self.device = torch.device("cuda", local)
            torch.cuda.set_device(self.device)
        words = dict(backend=backend, store=store, rank=rank, world_size=workers)
        try:
            within(self.timeout, self._meet, words)
        except (RuntimeError, TimeoutError) as error:
            raise PeerLost(
                f"rank {rank}: not all of {workers} ranks came within {self.timeout:g} s "
                f"({short(error)}){interface.advice()}"
            ) from None

    def _meet(self, words: dict[str, Any]) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # (a thread has a device of its own)
        dist.init_process_group(**words, timeout=timedelta(seconds=self.timeout))
        self.own = True
        self.take()

    def beside(self, rank: int) -> None:
        """Open the second group beside the one that a script has opened.

        Raises:
            PeerLost: not all ranks did within the timeout.
        """
        try:
            within(self.timeout, self.take)
        except (RuntimeError, TimeoutError) as error:
            raise PeerLost(
                f"rank {rank}: not all ranks of this group wrapped a model within "
                f"{self.timeout:g} s ({short(error)}){interface.advice()}"
            ) from None

    def take(self) -> None:
        """Open the second group beside the one that there is."""
        self.aside = dist.new_group(timeout=timedelta(seconds=self.timeout))

    def around(self, rank: int, workers: int, among: int) -> tuple[Sequence[int], Any, Any]:
        """Return the `among` ranks in a row with this one (0: all), and their two groups.

        All ranks ask for the same at once, as each takes part in making the groups of all.

        Raises:
            RuntimeError: they were not made within the timeout.
        """
        if not among:
            return range(workers), None, self.aside
        if among not in self.parts:
            try:
                made = within(self.timeout, self._rows, workers, among)
            except TimeoutError as error:
                raise RuntimeError(f"groups of {among} ranks were not made: {error}") from None
            self.parts[among] = made[rank // among]
        first = rank - rank % among
        return range(first, first + among), *self.parts[among]

    def _rows(self, workers: int, among: int) -> list[list[Any]]:
        """Make two groups of each row (by torch's store, which may never answer)."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # (a thread has a device of its own)
        limit = timedelta(seconds=self.timeout)
        every = [[*range(r, r + among)] for r in range(0, workers, among)]
        return [[dist.new_group(own, limit) for _ in range(2)] for own in every]

    def close(self) -> None:
        """Leave what was opened here; this never takes longer than a moment."""
        if self.own and dist.is_initialized():
            self.own = False
            try:
                within(grace(self.timeout), dist.destroy_process_group)
            except (RuntimeError, ValueError, TimeoutError):
                return  # (a peer is gone: there is nobody to take leave of)
