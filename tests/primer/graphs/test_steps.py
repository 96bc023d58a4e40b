"""Steps and captures of the libraries that are here; the others' are in the record."""

import importlib.util
import json

import pytest
import torch

from primer.graphs import captures, elements, probes, steps
from tests.tree import ROOT

HERE = ["primer", "torch", "torch.fx"]
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("jax.jit", "autograd", "keras")]
FLOAT32 = 1e-6  # 64 samples, gradients below 1: some ten roundings of 6e-8


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # keras' own, of NumPy 2
@pytest.mark.parametrize("name", [*HERE, *OTHERS])
def test_the_gradients_are_those_of_float64(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    library = name.split(".")[0]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install -e '.[frameworks]'")
    assert steps.far(steps.STEPS[name](*steps.draw())) <= FLOAT32


def test_a_wrong_gradient_is_far():
    params, x, y = steps.draw()
    wrong = steps.STEPS["primer"](params, x, 2 * y)
    assert steps.far(wrong) > 1e-3


def test_the_lines_of_a_step_are_counted_without_head_and_docstring():
    assert steps.lines("torch") == 6
    assert steps.lines("torch.compile") == steps.lines("torch") + 1  # the decorator


def test_eager_libraries_keep_all_and_traces_do_not():
    found = probes.table({name: captures.CAPTURES[name] for name in HERE})
    assert set(found["torch"].values()) == set(found["primer"].values()) == {"kept"}
    fx = {"branch": "refused", "loop": "refused", "print": "lost", "call": "kept"}
    assert found["torch.fx"] == fx


def test_the_four_elements_are_looked_up_and_tried():
    found = {name: elements.elements(name) for name in HERE}
    assert [found[name]["operations"] for name in HERE] == ["eager", "eager", "graph"]
    assert [found[name]["second derivative"] for name in HERE] == ["none", "yes", "yes"]
    assert found["torch"]["modules"] == torch.nn.__name__
    assert found["primer"]["many devices"] == "none"


def test_the_record_says_the_same_of_what_is_here():
    record = json.loads((ROOT / "benchmarks" / "frameworks.json").read_text())
    lines = {line["name"]: line for line in record["steps"]}
    assert list(lines) == list(steps.STEPS)
    for name, line in lines.items():
        assert line["lines"] == steps.lines(name)
        assert line["far"] <= FLOAT32
    for name in HERE:
        now = elements.elements(name) | probes.table({name: captures.CAPTURES[name]})[name]
        assert {key: lines[name][key] for key in now} == now
