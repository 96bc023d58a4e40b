"""Reads what the operating system counted: bytes out of the interfaces that workers use."""

import contextlib
import os
import platform
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

COUNTERS = Path("/proc/net/dev")
BOOT = Path("/proc/sys/kernel/random/boot_id")  # one for each start of a machine


def traffic_out(since: int | None = 0) -> int | None:
    """Return the bytes sent since a count (0: since boot), or None if the system has none.

    They are those of $GLOO_SOCKET_IFNAME, else of the loopback where the master is here, else of
    all others.
    """
    if since is None or not COUNTERS.exists():
        return None
    sent = {}
    for line in COUNTERS.read_text().splitlines()[2:]:
        name, _, numbers = line.partition(":")
        sent[name.strip()] = int(numbers.split()[8])
    chosen = os.environ.get("GLOO_SOCKET_IFNAME")
    if not chosen:
        local = os.environ.get("MASTER_ADDR", "127.0.0.1") in ("127.0.0.1", "localhost")
        names = ["lo"] if local else [name for name in sent if name != "lo"]
        return sum(sent.get(name, 0) for name in names) - since
    return sent.get(chosen, 0) - since


def machine() -> int:
    """Return a number of this machine, or of the network namespace in it whose counters we read."""
    space = Path("/proc/self/ns/net")
    inside = os.readlink(space) if space.exists() else ""
    node: int | str = uuid.getnode()
    if node >> 40 & 1:  # (no interface has an address of its own: random in each process)
        with contextlib.suppress(OSError):
            node = BOOT.read_text().strip()
    return zlib.crc32(f"{platform.node()} {node} {inside}".encode())


def of_all(since: int | None, everyone: Callable[[float], list[float]]) -> dict[str, int | None]:
    """Return the bytes that all machines have sent since, each counted once, and how many they are.

    Args:
        since: What `traffic_out` gave at the start.
        everyone: Gives a number of each process (Comm.everyone).
    """
    sent = traffic_out(since)
    found = dict(zip(everyone(machine()), everyone(-1 if sent is None else sent), strict=True))
    known = None if min(found.values()) < 0 else int(sum(found.values()))
    return {"bytes_os": known, "machines": len(found)}
