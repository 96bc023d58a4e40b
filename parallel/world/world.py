"""One script, three worlds: a value that says where the workers are. `world/run.py` goes there.

    World.sim(64)     64 workers in this process, as one tensor program where they stack
    World.procs(4)    4 processes on this machine: gloo, or NCCL with a GPU each
    World.env()       the rank that torchrun (or anything that sets RANK, WORLD_SIZE, MASTER_ADDR,
                      MASTER_PORT) gives this process, on one or many machines

Every wait ends after `timeout` seconds. `elastic`: go on without workers that died, but for worker
0, under strategies that do not need everybody (local, no_comm, elastic_gossip, gossip_pull, ...);
one that does is refused at once. A worker that hangs ends an elastic run too.
"""

from dataclasses import dataclass
from typing import Any

from harness.names import check
from parallel.link.cable import Cable
from parallel.world.environment import from_environment

KINDS = ("sim", "procs", "env")


@dataclass(frozen=True)
class World:
    """A value that says where the workers are."""

    kind: str
    workers: int
    timeout: float = 60.0
    elastic: bool = False
    threads: int | None = None
    backend: str | None = None
    link: Cable | None = None
    per_host: int = 1

    def __post_init__(self):
        check("world", self.kind, KINDS)
        if self.kind != "env" and (not isinstance(self.workers, int) or self.workers < 1):
            raise ValueError(f"a world has 1 worker or more, got {self.workers}")
        if self.timeout <= 0:
            raise ValueError(f"timeout is a number of seconds above 0, got {self.timeout}")
        if self.link is not None and (self.kind != "procs" or self.backend not in (None, "gloo")):
            raise ValueError("link= is a cable between the processes of World.procs, over gloo")
        if type(self.per_host) is not int or self.per_host < 1:
            raise ValueError(f"per_host is a number of workers, 1 or more, got {self.per_host!r}")
        if self.per_host > 1 and self.link is None:
            raise ValueError("per_host= says how many workers share a cable: give link=, too")

    @classmethod
    def sim(cls, workers: int) -> "World":
        """Return a world with all workers in this process."""
        return cls("sim", workers)

    @classmethod
    def procs(cls, workers: int, **options: Any) -> "World":
        """Return a world of processes here.

        Options: timeout, elastic, threads (of each), backend, link, per_host. With
        `link=Cable(rate=100e6, delay=0.01)` each is on a host of its own (parallel.link.net), or,
        with `per_host=2`, ranks 0 and 1 are on one, 2 and 3 on the next, as torchrun counts them.
        """
        return cls("procs", workers, **options)

    @classmethod
    def env(cls, **options: Any) -> "World":
        """Return the world of the ranks that the environment gives.

        Raises:
            ValueError: it gives none.
        """
        return cls("env", from_environment()["WORLD_SIZE"], **options)
