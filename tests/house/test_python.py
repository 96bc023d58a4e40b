"""Scripts of tests: a fork of a Python that has loaded torch does what a fresh one does."""

import os
import subprocess
import sys

import pytest
import sklearn  # noqa: F401  (writes into the environment, as other libraries do)

from tests.python import ROOT, python

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
LOADED = "import sys; print('torch' in sys.modules, 'bibd' in sys.modules)"


@forks
def test_torch_is_there_and_nothing_of_ours():
    assert python("-c", LOADED).stdout == "True False\n"
    for change in ({"IDDL_BACKEND": "dense"}, {"PATH": ""}, {"CXX": ""}):
        assert python("-c", LOADED, env={**os.environ, **change}).stdout == "True False\n"


def test_what_libraries_read_when_they_are_loaded_takes_a_process_of_its_own(tmp_path):
    for change in ({"OMP_NUM_THREADS": "3"}, {"ATEN_CPU_CAPABILITY": "default"}, {"HOME": "/"}):
        assert python("-c", LOADED, env={**os.environ, **change}).stdout == "False False\n"
    assert python("-c", LOADED, cwd=tmp_path).stdout == "False False\n"


SAYS = """
import os, sys, warnings
print(sys.argv, __name__, os.getcwd(), os.environ["IDDL_X"], sys.stdin.read(), sys.path[0])
sys.stderr.write("to the other\\n")
sys.exit(7)
"""


def test_words_files_and_exit_status_are_those_of_a_fresh_process():
    env = {**os.environ, "IDDL_X": "é"}
    got = python("-c", SAYS, "a b", "", env=env)
    argv = [sys.executable, "-c", SAYS, "a b", ""]
    fresh = subprocess.run(argv, env=env, cwd=ROOT, stdin=-3, capture_output=True, text=True)
    assert (got.returncode, got.stderr) == (fresh.returncode, fresh.stderr) == (7, "to the other\n")
    assert got.stdout == fresh.stdout.replace("  \n", f"  {ROOT}\n")
    module = python("-m", "json.tool", "--help")
    assert (module.returncode, module.stderr) == (0, "")
    assert module.stdout.startswith("usage: python -m json.tool")


@forks
def test_errors_end_as_they_do_and_late_ones_are_killed():
    done = python("-c", "1 / 0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    strict = python("-W", "error", "-c", "import warnings; warnings.warn('x')")
    assert strict.stderr.endswith("UserWarning: x\n")
    with pytest.raises(subprocess.TimeoutExpired):
        python("-c", "import time; time.sleep(60)", timeout=1)
    assert python("-c", "print(5)").stdout == "5\n"
