"""`python -m benchmarks.gpu.check --out DIR`: does all of it work on this card, and how fast is it?

    machine    card, driver, releases, clocks
    twins      sparse layers against float64 masked dense twins; what torch does with modules
    wrappers   data-parallel styles, worlds, exits, pictures, checkpoints, against the CPU
    graphs     training whose steps are replayed as CUDA graphs, against the eager loop, to the bit
    suite      the test files that name a CUDA device

and, each a run of its own (APART):

    steps      ms of a training step of the nine ResNets, eager and replayed; seeds side by side
    compiled   the same of three of them under torch.compile, and what that takes
    backends   layers on the card's own kernels against float64 twins, under compile and in graphs
    kernels    which form of a sparse product gains, and how much
    layers     sparse layers through `auto` beside dense ones, eager and as CUDA graphs
    blocks     convolutions with tiles of channels beside dense ones, as CUDA graphs
    pipelines  policies and schedules against the CPU; ms of a step of the nets of the studies

One JSON record, `DIR/check.json`, is written anew after every single check, so that what is done is
kept if the machine goes away. A check that fails or takes too long is one line of the record and
the rest goes on. `--plan` prints what each part may take; `--device cpu` runs the same with small
sizes. The script needs torch, numpy and rich, neither tyro nor a network; part `suite` needs pytest
and what the tests import: a folder of unpacked wheels on PYTHONPATH will do.
"""

import argparse
import json
import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.record import store

# Part: (seconds that it is expected to take on a card, seconds after which it is cut off). The
# estimates for twins and wrappers are launches: about 20 us each, and 10 to 30 s of compiling. That
# for steps: 25 steps of each line, of 3 to 48 ms, half a second to build a net, 9 processes at a
# time; for compiled: 19 to 27 s a net; for backends, layers and blocks:
# compiling.
PARTS = {
    "machine": (2, 15),
    "twins": (30, 70),
    "wrappers": (30, 60),
    "graphs": (40, 60),
    "suite": (20, 30),
    "steps": (80, 120),
    "compiled": (95, 120),
    "pipelines": (70, 120),
    "backends": (80, 120),
    "kernels": (30, 60),
    "layers": (100, 130),
    "blocks": (100, 130),
}
# (these run if named: --parts kernels)
APART = ("steps", "compiled", "pipelines", "backends", "kernels", "layers", "blocks")


class TooLate(Exception):
    """The time of a part has run out."""


def main(argv: list[str] | None = None) -> int:
    """Run the parts; 1 if a check failed."""
    options = parse(argv)
    if options.plan:
        show_plan(options.parts)
        return 0
    set_threads(options.device)
    # cuBLAS reads this when it starts: without it, its sums may come in another order each time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    path = options.out / "check.json"
    parts = [*dict.fromkeys(["machine", *options.parts])]  # (a record says of which card it is)
    record, begin = before(path), time.perf_counter()
    record["command"] = f"python -m benchmarks.gpu.check --parts {' '.join(parts)} --out DIR"
    for part in parts:
        for lines in run(part, options.device):
            record["parts"][part] = lines
            record["seconds"] = round(time.perf_counter() - begin, 1)
            store.write(path, json.dumps(record, indent=1) + "\n")
        print(summary(part, record["parts"][part]), flush=True)
    print(f"written: {path} ({path.stat().st_size / 1024:.0f} KiB, {record['seconds']} s)")
    return int(any(not line["ok"] for part in parts for line in record["parts"][part]))


def before(path: Path) -> dict[str, Any]:
    """The record of an earlier call for the same folder, to which this one adds its parts."""
    return json.loads(path.read_text()) if path.exists() else {"parts": {}}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options; a device that is not there is refused before anything runs."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.check", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the record, check.json")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART")
    parser.set_defaults(parts=[part for part in PARTS if part not in APART])
    parser.add_argument("--plan", action="store_true", help="print the estimates, run nothing")
    options = parser.parse_args(argv)
    if options.plan:
        return options
    if options.out is None:
        parser.error("--out DIR is needed: the folder for the record")
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            parser.error("torch sees no CUDA card here: --device cpu runs the same on the CPU")
    return options


def set_threads(device: str) -> None:
    """Few threads: nets this small wait for each other's threads longer than they compute."""
    import torch

    torch.set_num_threads(1 if device == "cpu" else 4)


def show_plan(parts: list[str]) -> None:
    """Seconds of each part: as expected, and at most."""
    for part in parts:
        print("{:10} about {:3} s, cut off after {:3} s".format(part, *PARTS[part]))
    sums = [sum(PARTS[part][k] for part in parts) for k in (0, 1)]
    print("{:10} about {:3} s, cut off after {:3} s".format("all", *sums))


def run(part: str, device: str) -> Iterator[list[dict[str, Any]]]:
    """The lines of a part so far, after each of its checks."""
    from benchmarks.gpu import clock

    end, lines = time.monotonic() + PARTS[part][1], []
    try:
        checks = prepare(part, device)
    except Exception as error:  # of an import, say
        yield [failure("import", error)]
        return
    for name, check in checks:
        begin = time.monotonic()
        try:
            with at_most(end - begin):
                lines.append({"name": name, "ok": True, **check()})
            if looped := clock.loops():
                lines[-1] |= {"ok": False, "error": f"timed as a loop, no graph: {looped[0]}"}
        except Exception as error:
            lines.append(failure(name, error))
        lines[-1]["seconds"] = round(time.monotonic() - begin, 2)
        yield lines


def prepare(part: str, device: str) -> list[tuple[str, Any]]:
    """Names and functions of the checks of a part."""
    from importlib import import_module

    return import_module(f"benchmarks.gpu.{part}").checks(device, small=device == "cpu")


def failure(name: str, error: Exception) -> dict[str, Any]:
    """A line for a check that did not pass: what was said, and where."""
    where = [
        f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)
    ]
    text = f"{type(error).__name__}: {error}"[:600]
    return {"name": name, "ok": False, "error": text, "at": where[-4:]}


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Break off what is inside after so many seconds (between two steps of Python).

    Raises:
        TooLate: the time has run out, or there was none.
    """

    def ring(*_: Any) -> None:
        raise TooLate("the time of this part has run out")

    if seconds <= 0:
        ring()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_skipped(line: dict[str, Any]) -> bool:
    """Whether a check had nothing to try here (of a test file: no test that ran)."""
    return bool(line["ok"] and (line.get("skipped") or line.get("counts") == {}))


def summary(part: str, lines: list[dict[str, Any]]) -> str:
    """A part on the screen: how many checks passed, and what the others said."""
    bad, skipped = ([x for x in lines if c(x)] for c in (lambda x: not x["ok"], is_skipped))
    head = f"{part}: {len(lines) - len(bad) - len(skipped)} of {len(lines)} passed"
    head += f", {len(skipped)} skipped" * bool(skipped)
    return "\n".join([head, *(f"  {line['name']}: {line['error'][:300]}" for line in bad)])


if __name__ == "__main__":
    raise SystemExit(main())
