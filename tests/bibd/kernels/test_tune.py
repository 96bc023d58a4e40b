"""The path of a call: measured once, written down, shared by processes."""

import json
import shutil

import pytest
import torch

from bibd import SparseLinear
from bibd.kernels import tune


def call(**changes):
    given = dict(kind="linear", inputs=9, outputs=9, nonzeros=9, members=1, geometry=())
    given |= dict(batch=5, threads=1, dtype=torch.float32, train=False)
    return tune.Call(**(given | changes))


@pytest.fixture
def choices(tmp_path, monkeypatch):
    """An empty file of choices, and nothing known."""
    monkeypatch.setenv("IDDL_CACHE", str(tmp_path))
    monkeypatch.setattr(tune, "_chosen", {})
    monkeypatch.setattr(tune, "_used", {})
    tune.path.cache_clear()
    yield tune.path()
    tune.path.cache_clear()


def slow():
    sum(range(20000))


def test_the_faster_path_is_chosen_and_written_down(choices):
    assert tune.choice(call(), lambda: {"a": slow, "b": int}) == "b"
    times = json.loads(choices.read_text())[str(call())]
    assert times["b"] < times["a"]
    assert tune.used() == {str(call()): "b"}
    assert tune.used() == {}


def test_who_was_first_decides_for_all(choices):
    choices.write_text(json.dumps({str(call()): {"a": 1.0, "b": 2.0}}))

    def never():
        raise AssertionError("measured again")

    assert tune.choice(call(), never) == "a"
    assert tune.remember(str(call()), {"b": 0.1}) == {"a": 1.0, "b": 2.0}
    assert tune.choice(call(batch=6), lambda: {"a": slow, "b": int}) == "b"
    assert len(json.loads(choices.read_text())) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', '{"x": {}}', '{"x": {"a": "b"}}'])
def test_a_damaged_file_of_choices_is_no_obstacle(choices, text):
    choices.write_text(text)
    assert tune.choice(call(), lambda: {"a": slow, "b": int}) == "b"


def test_a_cache_that_goes_away_costs_a_measurement(choices):
    shutil.rmtree(choices.parent)
    assert tune.choice(call(), lambda: {"a": slow, "b": int}) == "b"


def test_measuring_leaves_no_trace(choices):
    """Neither in the random numbers of the user, nor in gradients, nor in modes."""
    layer, x = SparseLinear(300, 200, "random", seed=0), torch.randn(8, 300)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with torch.no_grad():
        layer(x)
    with torch.inference_mode():
        layer(x)
    y = layer(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert layer.weight.grad is None
    y.sum().backward()
    assert len(tune.used()) >= 2
    names = set(json.loads(choices.read_text()))
    assert any("train" in name for name in names)


def test_a_path_that_cannot_is_not_chosen(choices):
    def refuses():
        raise ValueError("too large")

    assert tune.choice(call(), lambda: {"native": refuses, "dense": int}) == "dense"
    with pytest.raises(ValueError, match="too large"):
        tune.choice(call(batch=9), lambda: {"dense": refuses})
