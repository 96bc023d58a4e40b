"""Joining a Ray cluster: what is wrong is said at once, where Ray itself would try for minutes."""

import logging
import os
import re
import socket
from importlib import import_module
from importlib.util import find_spec
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
    address = address or os.environ.get("RAY_ADDRESS")
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not address or address == "auto":  # (Ray looks on this machine, which is quick)
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except ValueError:
        raise ValueError(f"--ray-address got {address!r}; expected HOST:PORT") from None
    except OSError as error:
        raise OSError(f"no Ray cluster at {address} ({error.strerror or error}): {BEGIN}") from None


def _has_token() -> bool:
    mode = os.environ.get("RAY_AUTH_MODE", "")
    version = tuple(map(int, re.findall(r"\d+", version_of("ray"))[:2]))
    return mode == "token" or (not mode and version >= TOKENS)
