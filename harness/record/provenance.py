"""Records where, when and with what a run was made, so that its numbers can be judged."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import harness

PACKAGES = ("iddl", "torch", "torchvision", "numpy", "scipy", "scikit-learn")
ROOT = Path(harness.__file__).resolve().parent.parent  # the checkout, or where packages live


def collect(device: str = "cpu") -> dict:
    """Return the provenance as builtin values; what cannot be known says "unknown"."""
    return {
        "time": now(),
        "command": command(),
        **git_state(),
        "versions": {name: version_of(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "platform": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "device": device,
        "engine": os.environ.get("IDDL_ENGINE", "local"),
        **_torch_state(device),
    }


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command() -> str:
    """Return what was typed, without the paths of this machine.

    For a member of a crew, it is what was typed for its parent.
    """
    typed = os.environ.get("IDDL_COMMAND")
    if typed:
        return typed
    argv = list(sys.argv)
    program = Path(argv[0])
    first = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([first, *map(shlex.quote, argv[1:])])


def git_state() -> dict:
    """Return the commit, and whether (and by which digest) the tree differed from it."""
    sha = _git("rev-parse", "HEAD")
    source = ("--", "*.py", ":!tests", ":!benchmarks")  # what can change a result
    changes = [_git("status", "--porcelain", *source), _git("diff", "HEAD", *source)] if sha else []
    text = "\n".join(filter(None, changes))
    return {
        "git": sha or "unknown",
        "dirty": hashlib.sha256(text.encode()).hexdigest()[:12] if text else False,
    }


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def version_of(name: str) -> str:
    """Return the version of an installed package, or "unknown"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _torch_state(device: str) -> dict:
    import torch

    jobs = int(os.environ.get("IDDL_JOBS", "1"))  # arms side by side (harness.sweep.crew)
    state: dict = {"threads": torch.get_num_threads(), "jobs": jobs}
    if device.startswith("cuda"):
        state["gpu"] = torch.cuda.get_device_name(device)
    return state
