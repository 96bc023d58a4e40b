"""The test files that name a CUDA device, run by pytest on this card."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OWN = "test_gpu_check.py", "test_on_card.py"  # they run this script, or its other parts
NAMED = re.compile(r"""["']cuda|torch\.cuda|mark\.cuda""")


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """One line a file. On the CPU only whether they can be collected."""
    return [(name, lambda name=name: run(name, collect=small)) for name in files()]


def files() -> list[str]:
    """Tests in which a CUDA device is named."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    wanted = [p for p in found if p.name not in OWN and NAMED.search(p.read_text())]
    return [str(p.relative_to(ROOT)) for p in wanted]


def run(name: str, collect: bool) -> dict[str, Any]:
    """Counts as pytest prints them; "skipped" where no test ran to its end.

    Raises:
        AssertionError: a test failed, or the file could not be imported.
    """
    argv = [sys.executable, "-m", "pytest", name, "-q", "-k", "cuda", "-p", "no:cacheprovider"]
    argv += ["--collect-only"] if collect else []
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    tail = (done.stdout + done.stderr).strip()[-400:]
    assert done.returncode in (0, 5), tail  # 5: none is chosen
    counts = re.findall(r"(\d+)(?:/\d+)? (passed|failed|skipped|error|deselected)", tail)
    found: dict[str, Any] = {"counts": {word: int(n) for n, word in counts}}
    return found if found["counts"].get("passed") else found | {"skipped": "no test ran"}
