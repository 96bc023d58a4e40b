"""What `import compress` offers, and that it is cheap."""

import importlib
import inspect
import subprocess
import sys
from importlib import metadata
from typing import get_args

import pytest

import compress
from compress.file.share import GRADIENTS
from compress.moving.moving import METHODS
from compress.pruning.prune import SCOPES
from compress.pruning.scores import SCORES
from tests.python import ROOT

ROOMS = ("compress",)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        assert callable(getattr(module, name)), name
    assert dir(module) == list(module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_another_name_is_answered_by_those_that_there_are(room):
    module = importlib.import_module(room)
    with pytest.raises(AttributeError, match=f"'{room}' has no attribute 'Zipped'; it has .*"):
        module.Zipped  # noqa: B018


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("share.gradient", GRADIENTS),
        ("prune.score", tuple(SCORES)),
        ("prune.scope", SCOPES),
        ("Moving.method", METHODS),
    ],
)
def test_type_checkers_know_the_words_of_an_option(option, words):
    name, argument = option.split(".")
    said = inspect.signature(getattr(compress, name)).parameters[argument].annotation
    inner = [get_args(part) for part in get_args(said) if get_args(part)]  # (of a union with None)
    assert (inner[0] if inner else get_args(said)) == words


def test_an_import_does_not_pay_for_torch():
    code = "import sys, compress\nassert not {'torch', 'scipy.stats'} & set(sys.modules)\n"
    # (a process of its own: that of tests.python has loaded torch)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


def test_its_version_is_that_of_the_distribution():
    assert compress.__version__ == metadata.version("iddl")
