"""One small study under an engine, and what must be true of it whatever dies meanwhile."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from harness.record import store
from tests.harness.engine.slurm_nodes import said
from tests.harness.sweep.test_processes import curves
from tests.tree import ROOT

LONG = pytest.mark.skipif(
    "IDDL_MOMENTS" not in os.environ, reason="minutes: IDDL_MOMENTS=all make test-engines"
)
GROUPS = 12
WORDS = ["smoke", "--seeds", "2", "--no-figures", "--checkpoint-every", "0"]


def command(results, *more):
    """Return the command line."""
    return [sys.executable, "-m", "mlp", *WORDS, "--results", str(results), *more]


def start(results, *more, env=os.environ):
    """Start the study; its words go to a file beside the results."""
    log = open(results.with_suffix(".log"), "a")  # noqa: SIM115
    with log:
        path = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(ROOT)]))
        env = {**env, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        return subprocess.Popen(command(results, *more), cwd=ROOT, env=env, stdout=log, stderr=log)


def words(results):
    """Return what the study has said."""
    return results.with_suffix(".log").read_text()


def local(results):
    """Return the curves that this machine alone gives."""
    with start(results, "--jobs", "2") as process:
        assert process.wait(300) == 0, words(results)
    return exact(results)


def exact(results):
    """Return all that may not depend on where and when a study ran."""
    whole = store.load(results / "mlp" / "smoke" / "experiment.json")
    facts = {(r.arm, r.seed): (r.key, r.config, r.facts, r.status, r.error) for r in whole.runs}
    return curves(whole), facts


@contextmanager
def running(cluster):
    """Nodes while the block runs, whatever happens in it."""
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def rows(results):
    """Return how many epochs are on disk."""
    return sum(len(p.read_bytes().splitlines()) for p in results.rglob("metrics.jsonl"))


def groups_done(results):
    """Return how many trainings have ended."""
    return len({p.parent.parent for p in results.rglob("seed-*/run.json")})


def wait_for(true, process, results, seconds=200):
    """Wait until something is so while the study still runs."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, words(results)
        assert time.monotonic() < end, words(results)
        time.sleep(0.02)


def members_left(results):
    """Return the processes that still train into these results."""
    name = str(results)
    mine = [p for p in psutil.process_iter() if said(p, "IDDL_MEMBER")]
    return [p for p in mine if any(name in word for word in p.cmdline())]
