"""The shape of parallel/: how far a step travels, how large its classes are, what its names mean."""

import ast
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from parallel import DataParallel, ModelParallel
from tests.python import python
from tests.tree import ROOT

PARALLEL = ROOT / "parallel"
FILES, MOVES = 6, 15  # an all-reduce step of the wrapper; 10 and 33 before there were executors
METHODS, ATTRIBUTES = 15, 12


class Trip:
    """The files of parallel/ that a call passes, in order; staying in a file is no move."""

    def __init__(self):
        self.files: list[str] = []

    def __enter__(self):
        sys.setprofile(self._heard)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _heard(self, frame, event, _):
        # Of a return it is the caller's file that goes on.
        here = frame if event == "call" else frame.f_back if event == "return" else None
        if here is not None and Path(here.f_code.co_filename).is_relative_to(PARALLEL):
            name = str(Path(here.f_code.co_filename).relative_to(PARALLEL))
            if self.files[-1:] != [name]:
                self.files.append(name)


def wrapped():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    net = DataParallel(style="all_reduce", model=model, workers=2)
    return net, torch.optim.SGD(net.parameters(), lr=0.1)


def step(net, optimizer):
    optimizer.zero_grad()
    net(torch.ones(6, 4)).square().mean().backward()
    optimizer.step()


def test_a_step_of_the_wrapper_passes_few_files():
    net, optimizer = wrapped()
    step(net, optimizer)
    with Trip() as trip:
        step(net, optimizer)
    passed, moves = set(trip.files), len(trip.files) - 1
    assert {"wrap/hooks.py", "replicas/executor.py", "world/comm.py"} <= passed
    assert len(passed) <= FILES, sorted(passed)
    assert moves <= MOVES, trip.files


def test_the_tracer_counts_what_it_should():
    """Two calls into a file and back are four moves; a call within a file is none."""
    from parallel.strategy import make

    strategy = make("all_reduce")
    with Trip() as trip:
        strategy.init(2)  # averaging.py, base.py and back
    assert trip.files == ["strategy/averaging.py", "strategy/base.py", "strategy/averaging.py"]


def classes():
    for path in sorted(PARALLEL.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield pytest.param(node, id=f"{path.relative_to(PARALLEL)}:{node.name}")


@pytest.mark.parametrize("node", list(classes()))
def test_no_class_is_a_house_of_its_own(node):
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    stored = {
        n.attr
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute)
        and isinstance(n.ctx, ast.Store)
        and isinstance(n.value, ast.Name)
        and n.value.id == "self"
    }
    assert len(methods) <= METHODS, [m.name for m in methods]
    assert len(stored) <= ATTRIBUTES, sorted(stored)


def test_wrappers_are_classes_and_say_so():
    net, _ = wrapped()
    assert isinstance(net, DataParallel)
    assert "GradientAllReduce" in repr(net)
    assert "workers=2" in repr(net)
    split = ModelParallel(model=nn.Sequential(nn.Linear(2, 2), nn.ReLU()), layer_split=[1])
    assert isinstance(split, ModelParallel)
    assert repr(split).startswith("ModelParallel(")


@pytest.mark.parametrize(
    "order",
    [
        "from parallel.identities.findings import Findings; import parallel",
        "import parallel; parallel.verify; from parallel.identities.findings import Findings",
        "from parallel import verify; import parallel.identities.findings; import parallel",
    ],
)
def test_verify_can_be_called_whoever_imported_what(order):
    code = f"{order}; assert parallel.verify('local').ok; assert callable(parallel.train)"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_no_module_bears_the_name_of_a_public_function():
    """What a package offers under a name must not be overwritten by an import of a module."""
    import importlib
    import pkgutil

    for name in (
        "bibd",
        "compress",
        "ensemble",
        "harness",
        "harness.data",
        "mlp",
        "parallel",
        "resnet",
    ):
        package = importlib.import_module(name)
        modules = {m.name for m in pkgutil.iter_modules(package.__path__)}
        for word in modules & set(getattr(package, "__all__", ())):
            assert isinstance(getattr(package, word), type(sys)), f"{name}.{word}"
