"""Arrays that took long to make, kept in a file beside what they were made of.

    SHA-256 of the rest | a line: the key of what they were made of and how | arrays, as numpy's npz

A file with another key, or with another checksum than it says, is as good as none: the arrays are
made anew and the file is replaced as a whole. Where nothing can be written, nothing is kept.
"""

import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
_SUM = hashlib.sha256().digest_size


def kept(path: Path, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What the file holds for this key, or what `make` gives, which is then in the file."""
    found = _read(path, key)
    if found is None:
        found = make()
        with contextlib.suppress(OSError):  # (a folder for reading only; a full disk)
            _write(path, key, found)
    return found


def _read(path: Path, key: str) -> Arrays | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    rest = memoryview(content)[_SUM:]
    head = f"{key}\n".encode()
    if hashlib.sha256(rest).digest() != content[:_SUM] or rest[: len(head)] != head:
        return None
    with np.load(io.BytesIO(rest[len(head) :]), allow_pickle=False) as arrays:
        return dict(arrays)


def _write(path: Path, key: str, arrays: Arrays) -> None:
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # pyright: ignore[reportArgumentType]
    content = f"{key}\n".encode() + packed.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}-{threading.get_ident()}"
    try:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
