"""Finds this process' rank for what lives as long as its script: the one-line wrapper."""

import atexit
import sys

import torch.distributed as dist

from parallel.world.wire import Wire, join
from parallel.world.world import World

TOGETHER = "; eval(), state_dict() and .module are to be called by all ranks together"


def attach(timeout: float = 60.0) -> Wire:
    """Enter the group that there is, or a new one."""
    if dist.is_initialized():
        store = dist.distributed_c10d._get_default_store()
        comm = Wire(dist.get_rank(), dist.get_world_size(), store, timeout, False)
        comm.group.beside(dist.get_rank())
    else:
        comm = join(World.env(timeout=timeout))
        atexit.register(comm.close)
    comm.faults.advice = TOGETHER
    _leave_word(comm)
    return comm


def _leave_word(comm: Wire) -> None:
    """Arrange that the others learn of it if this script ends, or fails anywhere."""
    before, faults = sys.excepthook, comm.faults

    def failed(kind, error, trace):
        if not faults.noted:
            faults.note(f"{kind.__name__}: {error}")
        before(kind, error, trace)

    def ended():
        if not faults.noted:
            faults.note(
                f"its script ended after {comm.at}: all ranks need the same number of batches"
            )

    sys.excepthook = failed
    atexit.register(ended)  # (called before what was registered earlier)
