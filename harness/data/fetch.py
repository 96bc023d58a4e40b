"""Fetches missing data: every wait has an end, and the error says what to do instead."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.data.names import DataError


@contextmanager
def patience(seconds: float = 20) -> Iterator[None]:
    """Limit every wait for the network inside the block to so many seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def missing(name: str, files: list[Path], error: object, embedded: str = "digits") -> DataError:
    """Return an error that names the missing files and says what to do."""
    absent = ", ".join(f.name for f in files if not f.exists())
    return DataError(
        f"data set {name!r} is not at {files[0].parent} and could not be fetched ({error}). "
        f"Missing: {absent}. Put these files there (or their .gz), or name another root with "
        f"--data-root or IDDL_DATA; the embedded set {embedded!r} needs no files"
    )
