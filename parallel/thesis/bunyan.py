"""Writes logs in the JSON lines of Node's Bunyan, as the thesis did; `bunyan logs/x/rank_0.log`."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.experiment import plain

LEVELS = {"DEBUG": 20, "INFO": 30, "WARNING": 40, "ERROR": 50}


class Log:
    """The log file of one worker; each line reaches the disk's cache at once.

    Args:
        path: The file; what was there stays if `go_on`.
        rank: The worker whose file it is.
        level: The least level that is written.
        go_on: Append to what is there.
    """

    def __init__(self, path: Path, rank: int, level: str = "INFO", go_on: bool = False):
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(path, "a" if go_on else "w", buffering=1)  # noqa: SIM115 (for its life)
        self.path, self.rank, self.least = path, rank, LEVELS[level]

    def write(self, payload: Mapping[str, Any], msg: str = "", level: str = "INFO") -> None:
        """Write one record."""
        if LEVELS[level] < self.least:
            return
        head = {
            "v": 0,
            "name": f"Rank-{self.rank}",
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "level": LEVELS[level],
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            "msg": msg,
        }
        with told(self.path):
            self.file.write(json.dumps({**head, **plain(dict(payload))}) + "\n")

    def accuracy(self, where: Mapping[str, Any], name: str, share: float) -> None:
        """Write two records, as the thesis did: a fraction, and a text in per cent."""
        self.write({**where, name: share})
        self.write({**where, f"{name}Perc": f"{100 * share:.2f} %"})

    def close(self) -> None:
        """Close the file; what a full disk kept back has been told already."""
        with contextlib.suppress(OSError):
            self.file.close()


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Give a failure to write the sentence that checkpoints have.

    Raises:
        OSError: says which file, and what to do.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write {path}: {error.strerror}. What was written before is still there; "
            "make room or choose another folder (--log-path DIR), then run the same command again",
        ) from None
