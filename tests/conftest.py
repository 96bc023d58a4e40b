"""Shared by all tests: where the checkout is, and how to run its commands as a user would."""

import atexit
import json
import os
import pickle
import shutil
import sys
import tempfile
import types
from pathlib import Path

import pytest

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # (before anything loads OpenMP)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // int(workers))))

import numpy as np  # noqa: E402

from harness.result.plotting import picture  # noqa: E402
from tests.python import python  # noqa: E402
from tests.tree import ROOT  # noqa: E402

if "IDDL_CACHE" not in os.environ:  # the tests build and measure for themselves, all in one place
    os.environ["IDDL_CACHE"] = tempfile.mkdtemp(prefix="iddl-tests-")
    atexit.register(shutil.rmtree, os.environ["IDDL_CACHE"], ignore_errors=True)

if not os.access(ROOT, os.W_OK):  # where hypothesis keeps examples for the next time
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{os.environ['IDDL_CACHE']}/hypothesis")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one process for each core that this one may use."""
    return CORES


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="module")
def browser():
    """A Chromium, for tests of pages (which say what it needs: tests.browser.NEEDS)."""
    from tests.browser import launched

    with launched() as opened:
        yield opened


@pytest.fixture
def command(tmp_path):
    """Run `python -m ...` in the checkout with a results folder of its own."""

    def run(*words, env=None, timeout=180, cwd=ROOT, results=True):
        if results:
            words = *words, "--results", tmp_path / "results"
        return python("-m", *words, cwd=cwd, env={**os.environ, **(env or {})}, timeout=timeout)

    return run


@pytest.fixture
def no_network(monkeypatch):
    """Downloads fail at once, also in processes that are started (a machine may be online)."""
    for name in ("http_proxy", "https_proxy", "ftp_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the port of `discard`: nobody listens
    monkeypatch.setenv("no_proxy", "")


@pytest.fixture
def committed():
    """Compares figures that a plot script makes with the files of a plan; gives their data."""

    def compare(study, plan, figures):
        kept = []
        for stem, _, data in figures:
            name = ROOT / "figure" / study / plan / picture(stem, study)
            for suffix in (".png", ".eps"):
                assert name.with_name(name.name + suffix).exists()
            kept.append(json.loads(name.with_name(f"{name.name}.json").read_text()))
            assert rounded(kept[-1]) == rounded(json.loads(json.dumps(data)))
        assert kept
        return kept

    return compare


def rounded(value):
    """Nested data with floats to nine digits: other releases of scipy differ in the last one."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 9) if isinstance(value, float) else value


@pytest.fixture
def legacy_dump():
    """Writes a file as the original project did: class `Experiment` in a module `experiment`."""
    return write_legacy_dump


def write_legacy_dump(path, protocol):
    """A file as the original project wrote it: class `Experiment` in a module `experiment`."""
    import torch

    module = types.ModuleType("experiment")

    class LegacyExperiment:
        pass

    LegacyExperiment.__name__ = LegacyExperiment.__qualname__ = "Experiment"
    LegacyExperiment.__module__ = "experiment"
    module.Experiment = LegacyExperiment
    old = LegacyExperiment()
    old.n_epoch = 3
    old.loss_ndarray = np.array([[0.9, 0.8, 0.7], [1.9, 1.8, 1.7]])
    old.acc_ndarray = np.array([[0.5, 0.6, 0.9486], [0.1, 0.2, 0.8396]])
    old.time_array = np.array([117.1, 127.0])
    old.model_name_array = np.array(["MLP-3-1", "B-MLP-3-1"])
    old.color_list = ["#22a7f0", "#cf000f", "#03a678"]
    old.device = torch.device("cuda")
    sys.modules["experiment"] = module
    try:
        path.write_bytes(pickle.dumps(old, protocol=protocol))
    finally:
        del sys.modules["experiment"]
