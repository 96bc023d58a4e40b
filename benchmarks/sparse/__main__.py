"""`python -m bibd bench`: the speed of sparse layers on this machine, beside dense ones and peers.

Times are medians of rounds in which all sides take turns, inference under torch.inference_mode.
"ours" is the call of a layer. q is dense products over sparse ones. All sides run in one process
with one allocator setting: memory that is freed stays in the process (else each large tensor is
made of pages that the kernel has to clear first, which hides what is measured).
"""

import gc
import json
import os
import resource
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.sparse import cases
from benchmarks.sparse.goals import judge
from benchmarks.sparse.rounds import race, together
from bibd.kernels import build
from harness.record import store
from harness.record.provenance import collect

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_TOP_PAD_": "67108864"}
ROUNDS = 3  # in each pass
CONVS = (64, 32), (128, 16), (256, 8), (512, 4)
Case = tuple[str, str, Any, bool, bool]  # case, name, how to make it, trains, in --quick


@dataclass(frozen=True)
class Options:
    """Measure sparse layers against dense ones and against other sparse ways, on this machine."""

    quick: bool = False
    """Fewer cases and rounds, as many threads as torch takes: under 50 s on two cores."""
    json: bool = False
    """Print one JSON document and nothing else."""
    threads: tuple[int, ...] = ()
    """Numbers of threads, for example 1 2; empty: one, and as many as torch takes."""
    passes: int = 0
    """Passes over all cases, with three turns of each side in each; 0: 3, or 1 with --quick."""
    only: str = ""
    """Cases whose name has this in it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the document there."""


def all_cases() -> Iterator[Case]:
    """Every case, by name."""
    for width in (784, 1024, 4096):
        quick = width != 784
        for batch in (1, 32, 256):
            case = "linear, one sample" if batch == 1 else "linear"
            name = f"linear {width}, batch {batch}"
            make = lambda w=width, b=batch: cases.linear(w, b)  # noqa: E731
            yield case, name, make, False, quick or batch == 1
        make = lambda w=width: cases.linear_training(w, 256)  # noqa: E731
        yield "linear, training", f"linear {width}, training, batch 256", make, True, width == 1024
    for channels, size in CONVS:
        quick = channels in (64, 256)
        for batch in (1, 32):
            case = "conv, one image" if batch == 1 else "conv"
            name = f"conv {channels} @ {size}, batch {batch}"
            make = lambda c=channels, s=size, b=batch: cases.conv(c, s, b)  # noqa: E731
            yield case, name, make, False, quick and batch == 32
        make = lambda c=channels, s=size: cases.conv_training(c, s, 32)  # noqa: E731
        yield "conv, training", f"conv {channels} @ {size}, training, batch 32", make, True, quick
    for batch in (1, 32, 128):
        make = lambda b=batch: cases.residual(b, train=False)  # noqa: E731
        name = f"residual net, batch {batch}"
        yield f"residual net, {batch}", name, make, False, batch < 128
    make = lambda: cases.residual(128, train=True)  # noqa: E731
    yield "residual net, training", "residual net, training, batch 128", make, True, False


def measure(options: Options) -> list[dict[str, Any]]:
    """One object a case and number of threads."""
    chosen = [c for c in all_cases() if options.only in c[1] and (c[4] or not options.quick)]
    most = torch.get_num_threads()
    threads = options.threads or ((most,) if options.quick else tuple(sorted({1, most})))
    passes = options.passes or (1 if options.quick else 3)
    turns = [(n, c) for n in threads for c in chosen]
    times: dict[tuple[int, str], list] = {(n, c[1]): [] for n, c in turns}
    qs: dict[str, float] = {}
    show = Console(stderr=True)
    for n, (_, name, make, trains, _) in track(
        turns * passes, "racing", console=show, transient=True
    ):
        torch.set_num_threads(n)
        torch.manual_seed(0)
        with torch.set_grad_enabled(True), torch.inference_mode(not trains):
            qs[name], sides = _made(make)
            times[n, name].append(race(sides, ROUNDS, 0.01 if options.quick else 0.03))
        del sides
        gc.collect()
    torch.set_num_threads(most)
    return [_row(n, c, qs[c[1]], together(times[n, c[1]])) for n, c in turns]


def _row(threads: int, case: Case, q: float, times: dict[str, float]) -> dict[str, Any]:
    line = {"name": case[1], "case": case[0], "threads": threads, "q": round(q, 2)}
    line["us"] = {side: round(t, 2) for side, t in times.items()}
    return line | {"goals": judge(case[0], line["q"], line["us"])}


def _made(make):
    """Layers are made as ordinary tensors, also for inference."""
    with torch.inference_mode(False):
        return make()


def overhead() -> dict[str, Any]:
    """What the call of a layer costs beyond the call of the library."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        times = together([race(_made(cases.overhead), 15, 0.01)])
    extra = times["ours"] - times["bare"]
    reached = "aim" if extra <= 5 else "least" if extra <= 10 else "no"
    goal = {"against": "bare call", "extra_us": round(extra, 2), "most": 10, "aim": 5}
    return {
        "name": "a layer's call beyond the bare kernel",
        "us": {k: round(t, 2) for k, t in times.items()},
        "goals": [goal | {"reached": reached}],
    }


def build_seconds() -> float | None:
    """How long the library takes to be built; None without a compiler."""
    program = build.compiler()
    if program is None or build.library() is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build.build(program, "timed", Path(folder) / "timed.so", None)
        return round(time.perf_counter() - start, 2)


def document(options: Options) -> dict[str, Any]:
    """Everything there is to say."""
    most = torch.get_num_threads()
    start = time.perf_counter()
    rows = [*measure(options), overhead()]
    torch.set_num_threads(most)
    return {
        "cases": rows,
        "quick": options.quick,
        "isa": build.isa(),
        "build_seconds": build_seconds(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "allocator": ALLOCATOR,
        "seconds": round(time.perf_counter() - start, 1),
        "provenance": collect(),
    }


def show(found: dict[str, Any]) -> Table:
    """The table for people."""
    table = Table(title="sparse layers on this machine (times faster; q: products saved)")
    for name in ("case", "threads", "q", "ours, us", "against", "us", "ratio", "least", "aim", ""):
        table.add_column(name, justify="left" if name in ("case", "against", "") else "right")
    mark = {"aim": "aim reached", "least": "reached", "no": "[bold]SHORT[/bold]"}
    for row in found["cases"]:
        head = [
            row["name"],
            str(row.get("threads", 1)),
            str(row.get("q", "")),
            _us(row["us"]["ours"]),
        ]
        for goal in row["goals"]:
            if "ratio" in goal:
                side, ratio = goal["side"], f"{goal['ratio']:.2f}"
                rest = side, _us(row["us"][side]), ratio, f"{goal['least']:g}", f"{goal['aim']:g}"
            else:
                rest = "bare call", _us(row["us"]["bare"]), f"+{goal['extra_us']} us", "10", "5"
            table.add_row(*head, *rest, mark[goal["reached"]])
            head = ["", "", "", ""]
        if "grouped" in row["us"]:
            times = row["us"]["grouped"]
            ratio = f"{times / row['us']['ours']:.2f}"
            table.add_row(*head, "grouped, as many products", _us(times), ratio, "", "", "")
    return table


def _us(time: float) -> str:
    return f"{time:,.1f}" if time < 100 else f"{time:,.0f}"


def main() -> int:
    """Run it in a process with the allocator's setting."""
    options = tyro.cli(Options, prog="python -m bibd bench", config=(tyro.conf.FlagCreatePairsOff,))
    warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")  # torch's, of its own
    if any(os.environ.get(k) != v for k, v in ALLOCATOR.items()):
        words = [sys.executable, "-m", "benchmarks.sparse", *sys.argv[1:]]
        typed = shlex.join(["python", "-m", "bibd", "bench", *sys.argv[1:]])
        os.execve(sys.executable, words, os.environ | ALLOCATOR | {"IDDL_COMMAND": typed})
    found = document(options)
    if options.out:
        store.write(options.out, json.dumps(found, indent=1) + "\n")
    if options.json:
        print(json.dumps(found))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(show(found))
    p = found["provenance"]
    console.print(
        f"{p['cpu']}, {found['isa']}, torch {p['versions']['torch']}; peak memory "
        f"{found['peak_mib']} MiB; the library is built in {found['build_seconds']} s; "
        f"{found['seconds']:.0f} s in all"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
