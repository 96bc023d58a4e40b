"""`python -m bibd bench`: runs benchmarks/sparse of the checkout that this package lies in.

The benchmark is no part of the package: it races against other libraries and writes its record
beside itself. An installed package therefore has no such verb, and says so.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str]) -> int:
    """Run the benchmark as a program of its own and return its exit status.

    Raises:
        ValueError: the package does not lie in a checkout.
    """
    # (A folder "benchmarks" beside the package may be anybody's; a checkout has this file too.)
    needed = "pyproject.toml", "benchmarks/sparse/__main__.py"
    if not all((CHECKOUT / name).is_file() for name in needed):
        raise ValueError(
            "bench runs benchmarks/sparse, which an installed package does not have: clone the "
            "repository and type `make bench` there (`python -m bibd explain` works anywhere)"
        )
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    words = [sys.executable, "-P", "-m", "benchmarks.sparse", *argv]  # -P: not that of the cwd
    return subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, check=False).returncode
