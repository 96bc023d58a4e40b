"""Turns a world into work: `for row in run(World.procs(4), task, ...)`."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

from parallel.world.comm import Comm
from parallel.world.procs import spawn
from parallel.world.wire import closing, join
from parallel.world.world import World


def run(world: World, task: Callable[..., Iterator[Any]], *args: Any) -> Generator[Any, None, None]:
    """Yield what `task(comm, *args)` yields, on rank 0 if there are several processes.

    Args:
        world: Where the workers are. Under `env` every process runs the task, and yields what its
            own does.
        task: A generator function; other processes find it by its module, so that it stands in
            one, at the top.
        args: Go to other processes by pickle.
    """
    if world.kind == "sim":
        yield from task(Comm(world.workers), *args)
    elif world.kind == "procs":
        yield from spawn(world, task, args)
    else:
        with closing(join(world)) as comm:
            yield from task(comm, *args)
