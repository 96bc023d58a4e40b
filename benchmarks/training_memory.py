"""`python -m benchmarks.training_memory`: peak memory of trainings, each in a process of its own.

held     what the training holds between two steps, counted (compress.runs.memory)
peak     by how much the resident memory of the process has grown at its highest: from after all
         code is loaded and a tiny net has trained, until after 250 steps with two changes

Both for the nets of plan dynamic, 784-300-100-10 and 1024-1024-1056-10, batch 128, SGD with
momentum. Activations, temporaries, and what the allocator keeps are in the peak and not in what is
held; the data are not in it: a few batches of noise, made before. Linux only (/proc).
"""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import tyro

from benchmarks.telling import written
from compress.plans.dynamic import PLANS, Dynamic
from compress.runs.dynamic import Run
from harness.data import Data
from harness.record.provenance import collect
from harness.result import screen

ARMS = (
    *("dense", "gradual-5", "bibd", "static-20", "static-5", "static-2"),
    *("set-5", "rigl-5", "rigl_fan_in-5"),
)
NETS = {"dynamic": "784-300-100", "dynamic_wide": "1024-1024-1056"}
BATCHES, EPOCHS = 25, 10  # 250 steps
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Options:
    """The peak memory of trainings, each in a process of its own."""

    rounds: int = 3
    """Processes of each; the median counts."""
    only: str = ""
    """Nets and arms whose name has this in it."""
    one: str = ""
    """Measure in this very process: PLAN ARM (so the others are called)."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def noise(plan: str) -> Data:
    """Return inputs of noise, as large as those of a plan's pictures."""
    side = 28 + 2 * next(iter(PLANS[plan].arms.values())).pad
    g = torch.Generator().manual_seed(0)
    x = torch.randn(BATCHES * 128, side * side, generator=g)
    y = torch.randint(10, (len(x),), generator=g)
    return Data("noise", "made", x, y, x[:128], y[:128])


def measured(plan: str, arm: str) -> dict[str, int]:
    """Train in this process; returns what is held, and how much higher memory was."""
    data, config = noise(plan), replace(PLANS[plan].arms[arm], epochs=EPOCHS)
    _train(replace(config, hidden=(16, 16), method="dense"), data)
    CLEAR.write_text("5\n")  # (the highest mark begins anew, at what is resident now)
    before = _kilobytes("VmRSS")
    last = _train(config, data)
    return {"held": last["memory"]["all"], "peak": 1024 * (_kilobytes("VmHWM") - before)}


def _train(config: Dynamic, data: Data) -> dict[str, Any]:
    run = Run(config, data, 0)
    rows = [run.row(epoch, lambda share: None) for epoch in range(config.epochs)]
    return rows[-1]


def _kilobytes(name: str) -> int:
    (line,) = [x for x in STATUS.read_text().splitlines() if x.startswith(f"{name}:")]
    return int(line.split()[1])


def line(plan: str, arm: str, rounds: int) -> dict[str, Any]:
    """Measure in processes of their own; returns the medians."""
    words = [sys.executable, "-m", "benchmarks.training_memory", "--one", f"{plan} {arm}"]
    told = [subprocess.run(words, capture_output=True, text=True) for _ in range(rounds)]
    for done in told:
        if done.returncode:
            raise RuntimeError(f"{plan} {arm}: {done.stderr.strip()[-300:]}")
    found = [json.loads(done.stdout.splitlines()[-1]) for done in told]
    peaks = [each["peak"] for each in found]
    return {
        "net": NETS[plan],
        "arm": arm,
        "held": found[0]["held"],
        "peak": int(median(peaks)),
        "peaks": peaks,
    }


def main() -> int:
    """Measure, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.training_memory")
    torch.set_num_threads(1)
    if not CLEAR.exists():
        print("error: the peak of a part of a process is told by Linux only", file=sys.stderr)
        return 2
    if options.one:
        print(json.dumps(measured(*options.one.split())))
        return 0
    chosen = [(p, a) for p in NETS for a in ARMS if options.only in f"{NETS[p]} {a}"]
    lines = [line(plan, arm, options.rounds) for plan, arm in chosen]
    document: dict[str, Any] = {"lines": lines, "rounds": options.rounds, "provenance": collect()}
    if written(options, document):
        return 0
    cells = [
        [x["net"], x["arm"], *(f"{x[k] / 2**20:.1f}" for k in ("held", "peak"))] for x in lines
    ]
    screen.show("memory of trainings", ["net", "arm", "held, MiB", "peak, MiB"], cells)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
