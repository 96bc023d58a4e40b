"""`python -m benchmarks.frameworks`: one step in seven libraries, and what each keeps of Python.

Each library has a process of its own: the time of its import, of the first step (which may compile)
and of later ones, lines of code, how far its gradients are from float64, the verdicts of the probes
(primer.graphs.probes) and the four elements (primer.graphs.elements). What is not installed is told
as such; `pip install -e '.[frameworks]'` brings all.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.telling import expect, told
from harness.record.provenance import collect
from primer.graphs import captures, elements, probes, steps
from primer.picture import best

LIBRARY = {"jax.jit": "jax", "torch.compile": "torch", "torch.fx": "torch"}


@dataclass(frozen=True)
class Options:
    """One step in seven libraries, and what each keeps of Python."""

    only: tuple[str, ...] = ()
    """Some of them, by name."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def measured(name: str) -> dict[str, Any]:
    """Measure one library, in this process."""
    library = LIBRARY.get(name, name)
    start = time.perf_counter()
    importlib.import_module(library)
    imported = time.perf_counter() - start
    step = steps.STEPS[name](*steps.draw())
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    return {
        "name": name,
        "version": metadata.version("iddl" if library == "primer" else library),
        "lines": steps.lines(name),
        "import_s": imported,
        "first_ms": first * 1e3,
        "later_ms": best(step, 0.5) * 1e3,
        "far": steps.far(step),
        **probes.table({name: captures.CAPTURES[name]})[name],
        **elements.elements(name),
    }


CODE = (
    "import json; from benchmarks import frameworks; print(json.dumps(frameworks.measured({!r})))"
)


def alone(name: str) -> dict[str, Any]:
    """Measure one library in a process of its own, where nothing is imported or compiled yet."""
    env = {**os.environ, "KERAS_BACKEND": "torch", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    argv = [sys.executable, "-c", CODE.format(name)]
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    if done.returncode:
        said = done.stderr.strip() or f"exit status {done.returncode}"  # (killed: nothing is said)
        return {"name": name, "error": said.splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Measure all that are installed, and tell."""
    options = tyro.cli(Options, prog="python -m benchmarks.frameworks")
    expect("library", options.only, steps.STEPS)
    found = [alone(name) for name in options.only or steps.STEPS]
    document = {
        "provenance": collect(),
        "sizes": steps.SIZES,
        "steps": [line for line in found if "error" not in line],
        "missing": [line for line in found if "error" in line],
    }
    return told(options, document, ("steps", "missing"))


if __name__ == "__main__":
    raise SystemExit(main())
