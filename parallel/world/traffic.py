"""Reads what the operating system counted: bytes out of the interfaces that workers use."""

import os
from pathlib import Path

COUNTERS = Path("/proc/net/dev")


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
