"""`python -m benchmarks.engines`: what a small study takes through each engine, in turn.

The clusters are those that the environment describes (SLURM_CONF, RAY_ADDRESS). Times are those of
the whole command, and of it until the first training was told as done: what is before that is
starting up (imports, the queue, the cluster's own processes) and does not grow with the study.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from subprocess import PIPE, STDOUT
from threading import Timer
from typing import Annotated, Any

import tyro

from benchmarks.telling import expect, told
from harness.record import store
from harness.record.provenance import collect

ENGINES = ("local", "slurm", "ray")
WORDS = ("-m", "mlp", "smoke", "--seeds", "2", "--jobs", "2", "--no-figures")


@dataclass(frozen=True)
class Options:
    """Twelve small trainings by each engine, each beside the others in one run."""

    engines: tuple[str, ...] = ENGINES
    """Which of them."""
    rounds: int = 3
    """Turns of each; the median counts."""
    timeout: float = 600
    """Seconds after which one turn is given up."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def turn(engine: str, timeout: float) -> tuple[float, float, dict[str, Any]]:
    """Train the study anew; returns the seconds until the first training, those of all, and losses.

    Raises:
        RuntimeError: the study ended with an error, or not in time.
    """
    with tempfile.TemporaryDirectory(prefix="iddl-") as folder:
        command = [sys.executable, *WORDS, "--results", folder, "--engine", engine]
        begin, first = time.monotonic(), float("nan")
        with subprocess.Popen(command, stdout=PIPE, stderr=STDOUT, text=True) as process:
            assert process.stdout
            said, clock = [], Timer(timeout, process.kill)
            clock.start()
            for line in process.stdout:
                said.append(line)
                if " done in " in line and first != first:
                    first = time.monotonic() - begin
            clock.cancel()
        whole = time.monotonic() - begin
        if process.returncode:
            raise RuntimeError(f"--engine {engine} ended after {whole:.0f} s: {''.join(said[-5:])}")
        record = store.load(Path(folder) / "mlp" / "smoke" / "experiment.json")
    return first, whole, {f"{r.arm} {r.seed}": r.rows[-1]["test_loss"] for r in record.runs}


def measure(options: Options) -> list[dict[str, Any]]:
    """One object per engine; all engines must end at the same losses."""
    times: dict[str, list[tuple[float, float]]] = {engine: [] for engine in options.engines}
    answers = []
    for _ in range(options.rounds):
        for engine in options.engines:
            first, whole, rows = turn(engine, options.timeout)
            times[engine].append((first, whole))
            answers.append(rows)
    if any(rows != answers[0] for rows in answers):
        raise RuntimeError("the engines' records differ: nothing was measured")
    base = median(whole for _, whole in times[options.engines[0]])
    return [_line(engine, turns, base) for engine, turns in times.items()]


def _line(engine: str, turns: list[tuple[float, float]], base: float) -> dict[str, Any]:
    whole = median(w for _, w in turns)
    return {
        "engine": engine,
        "all, s": whole,
        "until the first training, s": median(f for f, _ in turns),
        "the rest, s": median(w - f for f, w in turns),
        "times the first engine": whole / base,
    }


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, prog="python -m benchmarks.engines")
    expect("engine", options.engines, ENGINES)
    try:
        lines = measure(options)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    document = {"table": lines, "rounds": options.rounds, "provenance": collect()}
    return told(options, document, ["table"])


if __name__ == "__main__":
    raise SystemExit(main())
