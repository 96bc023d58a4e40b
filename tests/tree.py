"""Where the checkout is, what is in it (read off the folders), and how its commands run."""

import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.python import ROOT, python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
STUDIES = sorted(path.parent.name for path in ROOT.glob("*/experiments.py"))
BESIDE = {"benchmarks", "examples", "tests"}  # packages that are not shipped
PACKAGES = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - BESIDE)


def run(*argv, cwd=ROOT, timeout=300, env=None):
    """A command in the checkout, with what it printed."""
    if argv[0] == sys.executable:
        return python(*argv[1:], cwd=cwd, timeout=timeout, env=env)
    return subprocess.run(
        [str(a) for a in argv], cwd=cwd, capture_output=True, text=True, timeout=timeout, env=env
    )


def tracked(*patterns):
    """Files that git knows of."""
    done = run("git", "ls-files", *patterns) if shutil.which("git") else None
    if done is None or done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines()]
