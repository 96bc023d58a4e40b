"""A Python that has loaded torch, and nothing of this project, and forks for each script.

Hundreds of tests run a script or a module as a user would; loading torch is nearly all that each
would cost. `python -m tests.warm` reads one request a line (see tests.python) and answers with the
number of the process and, when it has ended, with its exit status.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import sys
import threading
import types
import warnings
import weakref

LOADED = "torch._dynamo", "torchvision", "scipy.stats", "matplotlib.backends.backend_agg"


def serve() -> dict | None:
    """What to become, in each fork; None in the server when nobody asks any more."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        if not (child := os.fork()):
            return json.loads(line)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def become(request: dict) -> None:
    """Files, environment and warnings of a Python that has just been started."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    for theirs in list(weakref.finalize._registry):  # pyright: ignore  # (the server's folders are not ours)
        theirs.atexit = False
    os.environ.clear()
    os.environ.update(request["env"])
    if request["strict"]:
        warnings.simplefilter("error")


def follow(kind: str, what: str, *words: str) -> None:
    """As `python -c WHAT WORDS` or `python -m WHAT WORDS`."""
    sys.argv = [kind, *words]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), module.__dict__)


def status(request: dict) -> int:
    """What a shell would be told."""
    try:
        follow(*request["argv"])
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def leave(code: int) -> None:
    """As a Python that ends, but for the second in which torch is taken apart."""
    threading._shutdown()
    atexit._run_exitfuncs()
    if (left := sys.modules["__main__"].__dict__) is not globals():
        left.clear()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    if asked := serve():
        become(asked)
        leave(status(asked))
    os._exit(0)
