"""`python -m bibd bench`: hands over to benchmarks/sparse, which is part of a checkout only."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str]) -> int:
    """The exit status of the benchmark.

    Raises:
        ValueError: there is none to run.
    """
    if not (ROOT / "benchmarks/sparse").is_dir():
        raise ValueError(
            "bench runs benchmarks/sparse, which an installed package does not have: clone the "
            "repository and type `make bench` there (`python -m bibd explain` works anywhere)"
        )
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    words = [sys.executable, "-m", "benchmarks.sparse", *argv]
    os.execve(sys.executable, words, os.environ | {"PYTHONPATH": path})
