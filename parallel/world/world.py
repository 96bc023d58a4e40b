"""One script, three worlds.

    World.sim(64)     64 workers in this process, as one tensor program where they stack
    World.procs(4)    4 processes on this machine: gloo, or NCCL with a GPU each
    World.env()       the rank that torchrun (or anything that sets RANK, WORLD_SIZE, MASTER_ADDR,
                      MASTER_PORT) gives this process, on one or many machines

Every wait ends after `timeout` seconds. `elastic`: go on without workers that died, where the
strategy only ever talks to one other at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.names import check
from parallel.world.comm import Comm

KINDS = ("sim", "procs", "env")


@dataclass(frozen=True)
class World:
    """Where the workers are."""

    kind: str
    workers: int
    timeout: float = 60.0
    elastic: bool = False
    threads: int | None = None
    backend: str | None = None

    def __post_init__(self):
        check("world", self.kind, KINDS)
        if self.kind != "env" and (not isinstance(self.workers, int) or self.workers < 1):
            raise ValueError(f"a world has 1 worker or more, got {self.workers}")
        if self.timeout <= 0:
            raise ValueError(f"timeout is a number of seconds above 0, got {self.timeout}")

    @classmethod
    def sim(cls, workers: int) -> "World":
        """All in this process."""
        return cls("sim", workers)

    @classmethod
    def procs(cls, workers: int, **options: Any) -> "World":
        """Processes on this machine; options: timeout, elastic, threads (each), backend."""
        return cls("procs", workers, **options)

    @classmethod
    def env(cls, **options: Any) -> "World":
        """The ranks that the environment gives.

        Raises:
            ValueError: it gives none.
        """
        from parallel.world.rendezvous import from_environment

        return cls("env", from_environment()["WORLD_SIZE"], **options)

    def run(self, task: Callable[..., Iterator[Any]], *args: Any) -> Iterator[Any]:
        """Yield what `task(comm, *args)` yields, on rank 0 if there are several processes.

        Under `env` every process runs it, and yields what its own task does.
        """
        if self.kind == "sim":
            yield from task(Comm(self.workers), *args)
            return
        if self.kind == "procs":
            from parallel.world.procs import spawn

            yield from spawn(self, task, args)
            return
        from parallel.world.wire import Wire, closing

        with closing(Wire.join(self)) as comm:
            yield from task(comm, *args)
