"""Which path is fastest here: measured once a machine for each kind of call, kept in a file.

    <cache>/kernels/choices-<machine>.json    {"linear 1024 1056 33792 ...": {"native": 41.2, ...}}

Times are microseconds, the shorter of a few. Who measures first decides for all processes, so that
one run and its resumption take the same path. `IDDL_BACKEND` decides without measuring.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bibd.kernels import build

Candidates = Mapping[str, Callable[[], Any]]
BUDGET = 0.02  # seconds a path, after its first call
ROUNDS = 7
HOPELESS = 4  # times slower than the best in its first call: not measured again


class Call(NamedTuple):
    """What decides the time of a call, and so the choice; sizes of a batch by powers of 2."""

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

    def __str__(self):
        shape = "".join(f" {n}" for n in self.geometry)
        size = f"{self.inputs} {self.outputs} {self.nonzeros}{shape} x{self.members}"
        kind = str(self.dtype).removeprefix("torch.")
        use = "train" if self.train else "infer"
        return f"{self.kind} {size} batch {1 << self.batch} {kind} {self.threads} threads {use}"


_chosen: dict[Call, str] = {}
_used: dict[str, str] = {}
_lock = threading.Lock()


def bucket(batch: int) -> int:
    """Exponent of the power of 2 that is not below."""
    return (batch - 1).bit_length()


def choice(call: Call, candidates: Callable[[], Candidates]) -> str:
    """The fastest path of this call; measured where no process has done so before."""
    found = _chosen.get(call)
    if found is None:
        with _lock:
            times = known().get(str(call)) or remember(str(call), measure(candidates()))
        found = _chosen[call] = min(times, key=lambda path: times[path])
    _used[str(call)] = found
    return found


def used(forget: bool = True) -> dict[str, str]:
    """The choices since the last call, for a record."""
    found = dict(_used)
    if forget:
        _used.clear()
        _chosen.clear()
    return found


def measure(candidates: Candidates) -> dict[str, float]:
    """Microseconds of each path: the shortest of a few calls, in turns."""
    times: dict[str, float] = {}
    for path, call in candidates.items():
        try:
            call()  # builds tables, wakes threads
            times[path] = _time(call)
        except (ValueError, RuntimeError, MemoryError):
            if path == "dense":  # (the one that has no limits of its own)
                raise
    best = min(times.values())
    rest = {path: call for path, call in candidates.items() if path in times}
    rest = {path: call for path, call in rest.items() if times[path] < HOPELESS * best}
    for _ in range(ROUNDS if len(rest) > 1 else 0):
        for path, call in rest.items():
            until = time.perf_counter() + BUDGET / ROUNDS
            while True:
                times[path] = min(times[path], _time(call))
                if time.perf_counter() > until:
                    break
    return {path: round(seconds * 1e6, 2) for path, seconds in times.items()}


def _time(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@cache
def path() -> Path:
    """The file of this machine: other processor, torch or kernels, other file."""
    cpu = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line for line in lines if line.startswith("model name")), "")
    parts = cpu, os.cpu_count(), build.isa(), torch.__version__, build.sources()
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return build.cache_dir() / f"choices-{digest}.json"


def known() -> dict[str, dict[str, float]]:
    """What the file says; nothing if there is none that can be read."""
    try:
        found = json.loads(path().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, dict) and v and _numbers(v)}


def _numbers(times: dict[str, Any]) -> bool:
    return all(isinstance(t, int | float) and t > 0 for t in times.values())


def remember(call: str, times: dict[str, float]) -> dict[str, float]:
    """Add these times to the file, unless another process was first: then those are returned."""
    try:
        with build.locked(path().with_suffix(".lock"), 10):
            found = known()
            if call not in found:
                found[call] = times
                _write(json.dumps(found, indent=0, sort_keys=True) + "\n")
            return found[call]
    except OSError:
        return times  # a full disk costs the next process a measurement


def _write(text: str) -> None:
    """The whole file or none."""
    with tempfile.TemporaryDirectory(dir=path().parent, prefix="choices-") as folder:
        whole = Path(folder) / "whole"
        whole.write_text(text)
        whole.replace(path())
