"""Opens or reaches, within the timeout, the store where ranks meet."""

import itertools
import os
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from parallel.world.within import within

STORES: dict[str, Any] = {}  # one per meeting place: it lives as long as this process
MEETINGS = itertools.count()


def store_of(found: dict[str, Any], timeout: float) -> Any:
    """Return the store of torchrun's agent, for this restart only; else rank 0 opens one."""
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    place = f"{found['MASTER_ADDR']}:{found['MASTER_PORT']}"
    key = f"{place} start {restart} world {next(MEETINGS)}"  # each meeting has its own names
    if place in STORES:
        return dist.PrefixStore(key, STORES[place])  # pyright: ignore
    try:
        STORES[place] = store_at(
            found["MASTER_ADDR"], found["MASTER_PORT"], timeout, found["RANK"] == 0 and not agent
        )
    except (RuntimeError, TimeoutError) as error:
        raise ValueError(
            f"cannot open or reach the meeting place {place} within {timeout:g} s "
            f"({short(error)}): is the port taken, or rank 0 not started? choose another "
            "MASTER_PORT (torchrun: --master-port, or --standalone)"
        ) from None
    return dist.PrefixStore(key, STORES[place])  # pyright: ignore


def store_at(address: str, port: int, timeout: float, opens: bool) -> Any:
    """Open or reach a store.

    Raises:
        RuntimeError: torch could not.
        TimeoutError: somebody accepts there and never answers; torch itself would wait for ever.
    """

    def reach() -> Any:
        return dist.TCPStore(  # pyright: ignore
            address,
            port,
            is_master=opens,
            timeout=timedelta(seconds=timeout),
            wait_for_workers=False,
        )

    return within(timeout, reach)


def short(error: BaseException) -> str:
    """Return the first sentence of torch's long ones."""
    text = str(error).split("\n")[0]
    return text.split("] ")[-1][:160]
