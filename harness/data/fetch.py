"""Fetches what is missing: every wait has an end, and the error says what to do instead."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.data.names import DataError


@contextmanager
def patience(seconds: float = 20) -> Iterator[None]:
    """No wait for a network without an end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def missing(name: str, files: list[Path], error: object, embedded: str = "digits") -> DataError:
    """The error that names the files that are not there, and what to do."""
    absent = ", ".join(f.name for f in files if not f.exists())
    return DataError(
        f"data set {name!r} is not at {files[0].parent} and could not be fetched ({error}). "
        f"Missing: {absent}. Put these files there (or their .gz), or name another root with "
        f"--data-root or IDDL_DATA; the embedded set {embedded!r} needs no files"
    )
