"""Scripts and modules run as a user would, in processes that have loaded torch before."""

import atexit
import functools
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EARLY = (  # how names begin that are read when Python starts or a library is loaded
    *("PYTHON", "LD_", "HOME", "TMPDIR", "LANG", "LC_", "TZ", "MPL", "TORCH_", "ATEN_", "NPY_"),
    "TRITON_",
    *("OMP_", "GOMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "DNNL_"),
)
BEFORE = dict(os.environ)  # of the process that loads torch


def python(*argv, cwd=ROOT, env=None, timeout=300) -> subprocess.CompletedProcess[str]:
    """`python *argv` and what it printed; from a fork where a fresh process would do the same."""
    words, env = [str(a) for a in argv], dict(os.environ if env is None else env)
    strict = words[:2] == ["-W", "error"]
    rest = words[2 * strict :]
    # (the server runs one fork at a time: two that shall run at once get processes of their own)
    alone = threading.current_thread() is threading.main_thread()
    if (
        hasattr(os, "fork")
        and Path(cwd) == ROOT
        and rest[0] in ("-c", "-m")
        and late(env)
        and alone
    ):
        return forked(rest, env, strict, timeout)
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=env, timeout=timeout, capture_output=True, text=True
    )


def late(env: dict[str, str]) -> bool:
    """Whether it differs from ours only in what is read after torch was loaded."""
    other = {k for k in env.keys() | BEFORE.keys() if env.get(k) != BEFORE.get(k)}
    return not any(name.startswith(EARLY) for name in other)


@functools.cache
def server() -> subprocess.Popen:
    """One for each process of tests; it ends with its stdin."""
    argv = [sys.executable, "-m", "tests.warm"]
    process = subprocess.Popen(argv, 0, cwd=ROOT, env=BEFORE, stdin=-1, stdout=-1)
    atexit.register(process.communicate)
    return process


def forked(argv: list[str], env: dict[str, str], strict: bool, timeout: float):
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("stdout", "stderr")}
        for path in files.values():
            path.touch()
        request = {"argv": argv, "env": env, "strict": strict}
        status = answer(request | {k: str(v) for k, v in files.items()}, timeout)
        texts = {name: path.read_text() for name, path in files.items()}
    return subprocess.CompletedProcess([sys.executable, *argv], status, **texts)


def answer(request: dict, timeout: float) -> int:
    """The exit status.

    Raises:
        TimeoutExpired: it was killed.
    """
    asked = server()
    assert asked.stdin
    assert asked.stdout
    asked.stdin.write(json.dumps(request).encode() + b"\n")
    asked.stdin.flush()
    child = int(asked.stdout.readline())
    with selectors.DefaultSelector() as waiting:
        waiting.register(asked.stdout, selectors.EVENT_READ)
        if waiting.select(timeout):
            return int(asked.stdout.readline())
    os.kill(child, signal.SIGKILL)
    asked.stdout.readline()
    raise subprocess.TimeoutExpired(request["argv"], timeout)
