"""Where ranks meet: what the environment says of it, and the store that is kept there."""

import itertools
import os
from datetime import timedelta
from typing import Any

import torch.distributed as dist

STORES: dict[str, Any] = {}  # one per meeting place: it lives as long as this process
MEETINGS = itertools.count()
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def from_environment() -> dict[str, Any]:
    """RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

    Raises:
        ValueError: names those that are missing or no numbers.
    """
    absent = [name for name in VARIABLES if name not in os.environ]
    if absent:
        raise ValueError(
            f"World.env(): {', '.join(absent)} not set in the environment: start this script with "
            "`torchrun --nproc-per-node=2 script.py`, or use World.procs(2) or World.sim(2)"
        )
    found: dict[str, Any] = {name: os.environ[name] for name in VARIABLES}
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        if not str(found[name]).isdigit():
            raise ValueError(f"World.env(): {name} is {found[name]!r}, expected a number")
        found[name] = int(found[name])
    if found["RANK"] >= found["WORLD_SIZE"]:
        raise ValueError(f"World.env(): RANK {found['RANK']} of WORLD_SIZE {found['WORLD_SIZE']}")
    return found


def store_of(found: dict[str, Any], timeout: float) -> Any:
    """The store of torchrun's agent, with keys of this restart only; else rank 0 opens one."""
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    place = f"{found['MASTER_ADDR']}:{found['MASTER_PORT']}"
    key = f"{place} start {restart} world {next(MEETINGS)}"  # each meeting has its own names
    if place in STORES:
        return dist.PrefixStore(key, STORES[place])  # pyright: ignore
    try:
        STORES[place] = dist.TCPStore(  # pyright: ignore
            found["MASTER_ADDR"],
            found["MASTER_PORT"],
            found["WORLD_SIZE"],
            is_master=found["RANK"] == 0 and not agent,
            timeout=timedelta(seconds=timeout),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        raise ValueError(
            f"cannot open or reach the meeting place {place} within {timeout:g} s "
            f"({short(error)}): is the port taken, or rank 0 not started? choose another "
            "MASTER_PORT (torchrun: --master-port, or --standalone)"
        ) from None
    return dist.PrefixStore(key, STORES[place])  # pyright: ignore


def short(error: BaseException) -> str:
    """The first sentence of torch's long ones."""
    text = str(error).split("\n")[0]
    return text.split("] ")[-1][:160]
