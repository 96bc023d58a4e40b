"""What `import ensemble` offers, and that it is cheap."""

import importlib
import subprocess
import sys
from importlib import metadata

import pytest

import ensemble
from tests.python import ROOT, python

ROOMS = ("ensemble", "ensemble.scores", "ensemble.cascade")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        assert callable(getattr(module, name)), name
    assert dir(module) == list(module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_another_name_is_answered_by_those_that_there_are(room):
    module = importlib.import_module(room)
    with pytest.raises(AttributeError, match=f"'{room}' has no attribute 'Bagged'; it has .*"):
        module.Bagged  # noqa: B018


def test_an_import_and_help_do_not_pay_for_torch():
    code = (
        "import runpy, sys\n"
        "import ensemble, ensemble.scores, ensemble.cascade\n"
        "sys.argv = ['ensemble', '--help']\n"
        "try:\n    runpy.run_module('ensemble', run_name='__main__')\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "assert not {'torch', 'scipy.stats', 'sklearn'} & set(sys.modules)\n"
    )
    # (a process of its own: that of tests.python has loaded torch)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m ensemble" in done.stdout
    assert "verify" in done.stdout


def test_a_word_that_it_does_not_know_is_answered_by_the_near_one():
    done = python("-m", "ensemble", "verfy")
    assert done.returncode == 2
    assert "did you mean 'verify'" in done.stderr


def test_its_version_is_that_of_the_distribution():
    assert ensemble.__version__ == metadata.version("iddl")
