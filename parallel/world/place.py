"""Where the processes of a run meet: the parent's store, on this machine or on a host of a net."""

import os
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from parallel.link.net import Net
from parallel.link.space import inside
from parallel.world.rendezvous import store_at
from parallel.world.world import World

OPENING = 30.0  # seconds for the parent's own store


@dataclass(frozen=True)
class Place:
    """Address of the store, and the namespace of each rank if there are hosts with cables."""

    address: str
    port: int
    spaces: tuple[str, ...] = ()
    held: Any = None  # by the parent: the store, and the net

    @classmethod
    def of(cls, world: World) -> "Place":
        """Open a store, and lay the cables if the world has a link."""
        if world.link is None:
            store = store_at("127.0.0.1", 0, OPENING, True)
            return cls("127.0.0.1", store.port, held=(store, None))
        # (torch would warn, in each process, that these addresses have no names)
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        net = Net(ceil(world.workers / world.per_host), world.link).__enter__()
        first = net.address(0)
        try:
            store = inside(net.space(0), lambda: store_at(first, 0, OPENING, True))
        except BaseException:
            net.close()
            raise
        spaces = tuple(net.space(rank // world.per_host) for rank in range(world.workers))
        return cls(first, store.port, spaces, (store, net))

    def told(self) -> "Place":
        """Return what other processes have to know."""
        return replace(self, held=None)

    def close(self) -> None:
        """Take the net down."""
        if self.held and self.held[1]:
            self.held[1].close()
