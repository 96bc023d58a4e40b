"""Public names that wait until somebody asks, and what type checkers read of them."""

import ast
import importlib
import sys
from importlib import metadata
from types import ModuleType

import pytest

from harness.lazy import lazily, version

WAIT = (
    *("bibd", "compress", "ensemble", "ensemble.cascade", "ensemble.scores"),
    *("harness.data", "harness.exits", "parallel"),
)


@pytest.mark.parametrize("package", WAIT)
def test_type_checkers_read_the_names_that_are_there_and_where_they_live(package):
    module = importlib.import_module(package)
    with open(module.__file__) as file:
        (block,) = [node for node in ast.parse(file.read()).body if isinstance(node, ast.If)]
    told = {
        alias.asname: node.module
        for node in block.body
        for alias in node.names
        if alias.asname == alias.name  # (as type checkers ask for, of what is public)
    }
    assert told == module._HOME
    assert sum(len(node.names) for node in block.body) == len(told)
    assert list(module.__all__) == dir(module) == sorted(told)


@pytest.fixture
def shop(monkeypatch):
    """A package that offers a function and a module."""
    made = ModuleType("shop")
    made.__getattr__, made.__dir__ = lazily("shop", {"sqrt": "math", "abc": "collections"})
    monkeypatch.setitem(sys.modules, "shop", made)
    return made


def test_a_name_is_looked_up_once(shop):
    import collections.abc
    import math

    assert dir(shop) == ["abc", "sqrt"]
    assert "sqrt" not in vars(shop)
    assert shop.sqrt is math.sqrt
    assert vars(shop)["sqrt"] is math.sqrt
    assert shop.abc is collections.abc


def test_other_names_are_told_which_there_are(shop):
    with pytest.raises(AttributeError, match="module 'shop' has no attribute 'cbrt'; it has abc, "):
        shop.cbrt  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'shop\.till' has no attribute '__version__'"):
        lazily("shop.till", {})[0]("__version__")


def test_a_bare_checkout_has_no_version(shop, monkeypatch):
    assert shop.__version__ == version() == metadata.version("iddl")

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert shop.__version__ == "unknown"
