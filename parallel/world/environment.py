"""Reads from the environment which rank this process is, of how many, and where they meet."""

import os
from typing import Any

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def from_environment() -> dict[str, Any]:
    """Read RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

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
    if not 0 < found["MASTER_PORT"] < 65536:
        raise ValueError(
            f"World.env(): MASTER_PORT is {found['MASTER_PORT']}, expected 1 to 65535: a port that "
            "all ranks know beforehand (torchrun --standalone finds a free one)"
        )
    return found
