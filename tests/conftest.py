"""Shared by all tests: where the checkout is, and how to run its commands as a user would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def command(tmp_path):
    """Run `python -m ...` in the checkout with a results folder of its own."""

    def run(*words, env=None, timeout=180, cwd=ROOT, results=True):
        argv = [sys.executable, "-m", *map(str, words)]
        if results:
            argv += ["--results", str(tmp_path / "results")]
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )

    return run
