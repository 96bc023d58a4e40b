"""Enters the network namespace of a host: what a thread opens there talks over its cable."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORK = 0x40000000  # CLONE_NEWNET


def enter(space: str) -> None:
    """Move this thread, and those that it starts later, into a namespace of `ip netns`.

    Raises:
        OSError: there is none of this name, or this is not root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open(Path("/run/netns") / space) as there:
        if libc.setns(there.fileno(), NETWORK):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter network namespace {space}: {os.strerror(number)}")


def inside(space: str, call: Callable[[], Any]) -> Any:
    """Return what a call returns in a namespace, while this thread stays where it is.

    Raises:
        OSError: there is no such namespace.
    """
    found: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            enter(space)
            found.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
