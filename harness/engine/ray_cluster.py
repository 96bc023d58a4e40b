"""Joining a Ray cluster: what is wrong is said at once, where Ray itself would try for minutes."""

import logging
import os
import re
import socket
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.record.provenance import version_of

BEGIN = "start one by ray start --head, or name one by --ray-address HOST:PORT"
TOKENS = (2, 61)  # from this version on clusters have a token unless somebody forbids it


def connect(address: str | None, is_open: bool) -> Any:
    """Join the cluster; returns the module.

    Raises:
        ValueError: no Ray here, or a cluster without a token.
        OSError: no cluster there.
    """
    if not find_spec("ray"):
        raise ValueError("--engine ray: ray is not installed; type: pip install 'iddl[ray]'")
    if not is_open and not _has_token():
        raise ValueError(
            "this Ray has no token, so whoever reaches the cluster can run programs as you: set "
            "RAY_AUTH_MODE=token on all machines (ray get-auth-token --generate makes a token), or "
            "type --ray-open if its network is yours alone"
        )
    _knock(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # (its coming default)
    ray: Any = import_module("ray")
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        reason = str(error).splitlines()[0]
        raise OSError(
            f"no Ray cluster at {address or 'this machine'} ({reason}): {BEGIN}"
        ) from None
    return ray


def _knock(address: str | None) -> None:
    """Fail at once where nobody listens, as Ray itself would try for minutes."""
    named = next((x for x in (address, os.environ.get("RAY_ADDRESS")) if x and x != "auto"), "")
    if named:
        _reach(named, "--ray-address")
        return
    found, source = _found_here()
    if found:
        _reach(found, source, f", which {source} names")


def _reach(address: str, source: str, why: str = "") -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except ValueError:
        raise ValueError(f"{source} got {address!r}; expected HOST:PORT") from None
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"no Ray cluster at {address} ({reason}){why}: {BEGIN}") from None


def _found_here() -> tuple[str, str]:
    """Return the address that Ray takes where none is named ("" if it finds none), and from where.

    That of the nodes at work here comes first. What the last `ray start` has left counts where
    there are none or several; it stays there when the head is killed.
    """
    here, left = _nodes(), ""
    with suppress(OSError):
        left = _left().read_text().strip()
    if left and len(here) != 1:
        return left, str(_left())
    return next(iter(here), ""), "a Ray node of this machine"


def _left() -> Path:
    """Return the file in which `ray start` leaves an address, as Ray looks for it."""
    folder = os.environ.get("TMPDIR", "/tmp") if sys.platform == "linux" else "/tmp"
    return Path(os.environ.get("RAY_TMPDIR", folder), "ray", "ray_current_cluster")


def _nodes() -> set[str]:
    """Return the addresses that Ray's nodes on this machine have joined (Linux tells)."""
    found: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # (it has ended meanwhile)
            program, _, words = path.read_text(errors="replace").partition("\0")
            if "raylet" in Path(program).name:
                found |= set(re.findall(r"--gcs-address=([^\0 ]+)", words))
    return found


def _has_token() -> bool:
    mode = os.environ.get("RAY_AUTH_MODE", "")
    version = tuple(map(int, re.findall(r"\d+", version_of("ray"))[:2]))
    return mode == "token" or (not mode and version >= TOKENS)
