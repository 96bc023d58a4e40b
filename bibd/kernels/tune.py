"""Finds the fastest path here: measured once a machine for each kind of call, kept in a file.

    <cache>/kernels/choices-<machine>.json
    {"linear 1024 1056 33792 ...": {"us": {"native": 41.2, ...}, "median_us": {...}, ...}, ...}

Who measures first decides for all processes. Doubtful times (bibd.kernels.measure) are measured
anew by a process that meets them later, but never by one that keeps a record: a run and its
resumption take the same path. `python -m bibd explain --again` measures anew in any case, and
`IDDL_BACKEND` decides without measuring.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bibd.kernels import build
from bibd.kernels.measure import Candidates, Clock, Measured, clocked, measure

FORMAT = 2  # of the file
REST = 600.0  # seconds for which doubtful times stand, so that processes started together agree


class Call(NamedTuple):
    """What decides the time of a call and so the choice; batch sizes go by powers of 2."""

    kind: str
    inputs: int
    outputs: int
    nonzeros: int
    members: int
    geometry: tuple[int, ...]  # window, stride, padding, height, width of a convolution
    batch: int
    threads: int
    dtype: torch.dtype
    train: bool
    card: str = ""  # and how it multiplies; empty: the processor

    def __str__(self):
        shape = "".join(f" {n}" for n in self.geometry)
        size = f"{self.inputs} {self.outputs} {self.nonzeros}{shape} x{self.members}"
        kind = str(self.dtype).removeprefix("torch.")
        use = "train" if self.train else "infer"
        where = f"on {self.card}" if self.card else f"{self.threads} threads"
        return f"{self.kind} {size} batch {1 << self.batch} {kind} {where} {use}"


_chosen: dict[Call, str] = {}
_used: dict[str, str] = {}
_recorded: list[bool] = []  # whether this process keeps a record of its choices
_lock = threading.RLock()  # (what is timed may hold layers that choose for themselves)


def bucket(batch: int) -> int:
    """Return the exponent of the least power of 2 that is not below."""
    return (batch - 1).bit_length()


def choice(call: Call, candidates: Callable[[], Candidates], clock: Clock = clocked) -> str:
    """Return the fastest path of this call, measured if no process has done that before."""
    found = _chosen.get(call)
    if found is None:
        with _lock:
            times = known().get(str(call))
            if times is None or _is_over(times):
                times = remember(str(call), measure(candidates(), clock=clock))
        found = _chosen[call] = times.best
    _used[str(call)] = found
    return found


def settled(call: Call, any_batch: bool) -> str:
    """Return the path of this call as far as it is known, where nothing can be measured now.

    With `any_batch`, the one that all batches measured so far have taken, and images of all sizes;
    "dense" if they differ.
    """
    taken = taken_so_far(call, any_batch)
    return taken.pop() if len(taken) == 1 else "dense"


def taken_so_far(call: Call, any_batch: bool) -> set[str]:
    """Return the paths that such calls have taken, as the file says."""
    alike = _but_for_size if any_batch else str.split
    wanted = alike(str(call))
    return {times.best for name, times in known().items() if alike(name) == wanted}


def _but_for_size(name: str) -> list[str]:
    """Return the words of a call without its batch, and without the size of its images."""
    words = name.split(" ")
    if "batch" not in words[:-1]:
        return words  # (a line of another program)
    at = words.index("batch")
    sized = slice(at - 3, at - 1) if words[0] == "conv" else slice(0)
    words[at + 1] = "any"
    del words[sized]
    return words


def _is_over(times: Measured) -> bool:
    return times.doubtful and not _recorded and time.time() - times.when > REST


def keep() -> None:
    """Record choices from now on: this process takes what is on file, doubtful or not."""
    _recorded[:] = [True]


def used(forget: bool = True) -> dict[str, str]:
    """Return the choices since the last call, for a record."""
    found = dict(_used)
    if forget:
        _used.clear()
        _chosen.clear()
    return found


@cache
def path() -> Path:
    """Return the file of this machine; another processor, torch or kernel has another file."""
    cpu = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line for line in lines if line.startswith("model name")), "")
    made = build.sources(), _of_cards()
    parts = FORMAT, cpu, os.cpu_count(), build.isa(), torch.__version__, *made
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return build.cache_dir() / f"choices-{digest}.json"


def _of_cards() -> bytes:
    """Return the text that a card's times depend on."""
    room = build.SOURCES / "gpu"
    return b"\0".join(f.read_bytes() for f in sorted([*room.glob("*.cu"), *room.glob("*.py")]))


def known() -> dict[str, Measured]:
    """Return what the file says, or nothing if there is none that can be read."""
    try:
        found = json.loads(path().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    read = {call: _read(times) for call, times in found.items()}
    return {call: times for call, times in read.items() if times is not None}


def _read(times: Any) -> Measured | None:
    """Return one entry of the file, or None if it is damaged."""
    try:
        found = Measured(**times)
        numbers = [*found.us.values(), *found.median_us.values()]
        whole = found.us.keys() == found.median_us.keys() and bool(found.us)
        right = all(isinstance(t, int | float) and t > 0 for t in numbers)
        return found if whole and right and found.load >= 0 and found.when >= 0 else None
    except (TypeError, AttributeError):
        return None


def remember(call: str, times: Measured, again: bool = False) -> Measured:
    """Add these times to the file and return them, or the ones of a process that was first.

    Args:
        call: The kind of call.
        times: What was measured just now.
        again: Put them in the place of those on file, whatever these are.
    """
    try:
        with build.locked(path().with_suffix(".lock"), 10):
            found = known()
            if again or call not in found or _is_over(found[call]):
                found[call] = times
                plain = {name: one._asdict() for name, one in found.items()}
                _write(json.dumps(plain, indent=0, sort_keys=True) + "\n")
            return found[call]
    except OSError:
        return times  # a full disk costs the next process a measurement


def forget(call: str) -> None:
    """Let the next layer of this process look into the file again."""
    for known_call in [c for c in _chosen if str(c) == call]:
        del _chosen[known_call]


def _write(text: str) -> None:
    """Write the whole file, or nothing."""
    with tempfile.TemporaryDirectory(dir=path().parent, prefix="choices-") as folder:
        whole = Path(folder) / "whole"
        whole.write_text(text)
        whole.replace(path())
