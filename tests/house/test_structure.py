"""What is derived from the folders, and the graph of imports."""

import importlib
import os
import re
import subprocess
import sys
import tomllib

import grimp
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from harness.cli import Verb, main
from harness.plan import Plan
from tests.tree import PACKAGES, ROOT, STUDIES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_lists_that_tools_need_are_the_folders():
    assert set(STUDIES) < set(PACKAGES)
    targets = PROJECT["hatch"]["build"]["targets"]
    assert sorted(targets["wheel"]["packages"]) == PACKAGES
    shipped = {name.strip("/") for name in targets["sdist"]["include"]}
    assert shipped - {"README.md", "LICENSE"} == set(PACKAGES)
    assert sorted(PROJECT["importlinter"]["root_packages"]) == PACKAGES
    assert set(PROJECT["pyright"]["include"]) == {*PACKAGES, "benchmarks", "examples"}
    floors = PROJECT["importlinter"]["contracts"][0]["layers"]
    assert sorted(name.strip() for floor in floors for name in floor.split("|")) == PACKAGES


def test_the_setup_page_lists_the_packages_that_are_shipped():
    (line,) = re.findall(r"^.*holds the packages.*$", (ROOT / "setup.md").read_text(), re.MULTILINE)
    listed = line.split("holds the packages")[1].split(".")[0]
    assert sorted(re.findall(r"`(\w+)`", listed)) == PACKAGES


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_same_face(study):
    folder = ROOT / study
    for name in ("trainer", f"plot_{study}_experiments", "__main__"):
        assert (folder / f"{name}.py").exists(), name
    assert (folder / f"run_{study}_experiments.sh").exists()
    assert importlib.import_module(f"{study}.experiments").PLANS


def test_no_plan_of_any_study_bears_a_verb_of_any_study():
    """A word means one thing everywhere: `bench` is never a plan here and a verb there."""
    modules = [importlib.import_module(f"{study}.experiments") for study in STUDIES]
    verbs = {name: verb for module in modules for name, verb in module.VERBS.items()}
    verbs |= importlib.import_module("bibd.__main__").VERBS
    assert not {name for module in modules for name in module.PLANS} & set(verbs)
    for verb in verbs.values():
        if isinstance(verb, Verb):
            module, _, function = verb.target.partition(":")
            assert callable(getattr(importlib.import_module(module), function)), verb


def test_a_plan_that_bears_a_verb_of_its_study_is_refused(capsys):
    plans = {"costs": Plan("?", {}, (0,), 1)}
    assert main(plans, "mine", {"costs": Verb("What it costs.", "mine.costs:main")}, ["costs"]) == 2
    assert "costs: a plan and a verb of one name" in capsys.readouterr().err


@pytest.fixture(scope="module")
def graph():
    """Who imports whom, also inside functions and for type checkers only."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_no_modules_import_each_other_in_a_circle(graph):
    names = sorted(graph.modules)
    place = {name: i for i, name in enumerate(names)}
    arrows = [
        (place[a], place[b]) for a in names for b in graph.find_modules_directly_imported_by(a)
    ]
    shape = len(names), len(names)
    matrix = coo_matrix(([1] * len(arrows), tuple(zip(*arrows, strict=True))), shape=shape)
    _, labels = connected_components(matrix, directed=True, connection="strong")
    groups = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(label, set()).add(name)
    assert [group for group in groups.values() if len(group) > 1] == []


ALONE = """
import contextlib, importlib, os, sys

def child(work):
    reader, writer = os.pipe()
    if not os.fork():
        with os.fdopen(writer, "w") as pipe:
            try:
                work(pipe)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return pipe.read()

names, ours = sys.argv[2:], set(sys.argv[1].split(","))

def all_of_them(pipe):
    for name in names:
        with contextlib.suppress(Exception):  # (said below, of each by itself)
            importlib.import_module(name)
    print(*(n for n in sys.modules if n.split(".")[0] not in ours), file=pipe)

for name in child(all_of_them).split():  # what is not ours is loaded once, ours in each child anew
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
for name in names:
    assert name not in sys.modules, name
    if said := child(lambda pipe: importlib.import_module(name)):
        print(f"{name}: {said.strip()}", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the modules share one process by fork")
def test_every_module_can_be_the_first_that_is_imported(graph):
    names = sorted(name for name in graph.modules if not name.endswith("__main__"))
    assert len(names) > 100
    argv = [sys.executable, "-c", ALONE, ",".join(PACKAGES), *names, "harness.nowhere"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (only,) = done.stdout.splitlines()  # what is not there is noticed, so the others were imported
    assert only.startswith("harness.nowhere: ModuleNotFoundError")
