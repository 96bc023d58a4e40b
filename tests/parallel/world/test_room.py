"""The room itself: who imports whom."""

import ast
import graphlib

import pytest

from tests.tree import ROOT


def imported(tree):
    """All modules that are imported anywhere: at the top, in a function, for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trees(room):
    """The files of a room of parallel/, by module."""
    files = sorted((ROOT / "parallel" / room).glob("*.py"))
    return {f"parallel.{room}.{path.stem}": ast.parse(path.read_text()) for path in files}


TREES = trees("world")


def graph(found):
    return {name: {one for one in imported(tree) if one in found} for name, tree in found.items()}


@pytest.mark.parametrize("room", ["world", "thesis"])
def test_no_file_of_a_room_needs_one_that_needs_it(room):
    assert list(graphlib.TopologicalSorter(graph(trees(room))).static_order())


def test_a_world_is_a_value_that_knows_no_way_to_talk():
    assert graph(TREES)["parallel.world.world"] == {"parallel.world.environment"}


def test_the_lowest_room_knows_nobody_above_it_not_even_by_name():
    for name, tree in TREES.items():
        words = {one for one in imported(tree) if one.startswith("parallel.")}
        docs = {ast.get_docstring(n, clean=False) for n in ast.walk(tree) if _has_docstring(n)}
        texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
        words |= {t for t in texts if isinstance(t, str) and t not in docs and "parallel." in t}
        # (parallel.link lies below: it knows hosts and cables, and no rank)
        below = "parallel.world", "parallel.link"
        assert all(word.startswith(below) for word in words), (name, words)


def _has_docstring(node):
    return isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
