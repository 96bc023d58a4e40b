"""Several seeds of one net at a time on one card: on streams of one process, and in processes.

What `--jobs` of a plan does is processes. Each seed is a dense ResNet-18 in bf16 whose steps are
replayed; the figure is the steps that all make together in a second.
"""

import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.steps import STEPS, Checks, Step, built, made
from resnet.plans.published import ORIGINAL, models

COUNTS, SECONDS = (1, 3, 9), 1.0
ROOT = Path(__file__).resolve().parents[2]


def beside(device: str, small: bool, size: dict[str, Any]) -> Checks:
    """One line for each way and number of seeds."""
    ways = {"streams": streams, "processes": processes}
    return [
        (f"{count} seeds, {way}", partial(run, device, count, size))
        for count in COUNTS[: 1 if small else 3]
        for way, run in ways.items()
    ]


def streams(device: str, count: int, size: dict[str, Any]) -> dict[str, Any]:
    """Each seed on a stream of its own in this process."""
    steps = [seed(device, size) for _ in range(count)]
    sides: list[Any] = [torch.cuda.Stream() if device == "cuda" else None for _ in steps]
    return {"steps a second": round(rate(steps, sides, device), 1)}


def rate(steps: list[Step], sides: list[Any], device: str) -> float:
    """Steps a second of all these together; each stream (None: the one there is) has its own."""
    wait(device)
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        for _ in range(STEPS if device == "cuda" else 1):
            for step, side in zip(steps, sides, strict=True):
                step.point(done)
                with torch.cuda.stream(side):
                    step.take()
                done += 1
        wait(device)  # (else launches run ahead of the card without an end)
    return done / (time.perf_counter() - begin)


def processes(device: str, count: int, size: dict[str, Any]) -> dict[str, Any]:
    """Each seed in a process of its own; all begin to count when the last is ready."""
    code = f"from benchmarks.gpu import beside; beside.member({device!r}, {size!r})"
    pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with ExitStack() as stack:
        started: list[Any] = []
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes)
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in started:
            assert process.stdout.readline() == "ready\n", "a process has failed, see above"
        for process in started:
            print("go", file=process.stdin, flush=True)
        counts = [float(process.stdout.readline()) for process in started]
    return {"steps a second": round(sum(counts), 1)}


def member(device: str, size: dict[str, Any]) -> None:
    """Say that one seed is ready, wait for the word, and print its steps a second."""
    torch.set_num_threads(1)
    step = seed(device, size)
    wait(device)
    print("ready", flush=True)
    sys.stdin.readline()
    print(rate([step], [None], device), flush=True)


def seed(device: str, size: dict[str, Any]) -> Step:
    """A net of its own, recorded."""
    built.cache_clear()
    return made(device, models(ORIGINAL)["ResNet-18"], "bf16 autocast", "graph", **size)


def wait(device: str) -> None:
    """Until the card has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
