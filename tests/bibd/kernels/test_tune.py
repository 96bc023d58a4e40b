"""Which path is taken: measured once, kept in a file, measured anew where the times are in doubt."""

import json
import shutil
import time

import pytest
import torch

from bibd import SparseLinear, explain, kernels
from bibd.kernels import measure, tune
from bibd.kernels.measure import Measured


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
    monkeypatch.setattr(tune, "_recorded", [])
    tune.path.cache_clear()
    yield tune.path()
    tune.path.cache_clear()


def slow():
    sum(range(20000))


def test_the_faster_path_is_chosen_and_written_down(choices):
    assert tune.choice(call(), lambda: {"a": slow, "b": int}) == "b"
    times = json.loads(choices.read_text())[str(call())]["us"]
    assert times["b"] < times["a"]
    assert tune.used() == {str(call()): "b"}
    assert tune.used() == {}


def write(choices, times):
    choices.write_text(json.dumps({str(call()): times._asdict()}))


def never():
    raise AssertionError("measured again")


def test_who_was_first_decides_for_all(choices):
    sure = Measured({"a": 1.0, "b": 2.0}, {"a": 1.1, "b": 2.1})
    write(choices, sure)
    assert tune.choice(call(), never) == "a"
    assert tune.remember(str(call()), Measured({"b": 0.1}, {"b": 0.1})) == sure
    assert tune.choice(call(batch=6), lambda: {"a": slow, "b": int}) == "b"
    assert len(json.loads(choices.read_text())) == 2


BUSY = Measured({"a": 40_000.0, "b": 45_000.0}, {"a": 41_000.0, "b": 46_000.0}, load=3.0)
WIDE = Measured({"a": 10.0, "b": 11.0}, {"a": 10.0, "b": 30.0})


@pytest.mark.parametrize("doubtful", [BUSY, WIDE])
def test_doubtful_times_are_measured_anew_by_a_later_process(doubtful, choices):
    write(choices, doubtful)
    assert tune.choice(call(), lambda: {"a": slow, "b": int}) == "b"
    assert json.loads(choices.read_text())[str(call())]["us"]["b"] < 10


def test_processes_that_start_together_take_the_same_doubtful_times(choices):
    write(choices, BUSY._replace(when=time.time()))
    assert tune.choice(call(), never) == "a"


def test_a_run_and_its_resumption_take_what_is_on_file_doubtful_or_not(choices):
    kernels.paths()  # as the runner does before a run
    write(choices, BUSY)
    assert tune.choice(call(), never) == "a"
    assert kernels.paths() == {str(call()): "a"}
    assert tune.choice(call(), never) == "a"


def test_times_are_in_doubt_only_where_another_path_might_win():
    slow_and_wide = Measured({"a": 10.0, "b": 90.0}, {"a": 11.0, "b": 300.0})
    assert WIDE.doubtful
    assert BUSY.doubtful
    assert not slow_and_wide.doubtful
    assert not Measured({"a": 10.0}, {"a": 90.0}, load=9.0).doubtful


def test_rounds_that_disagree_go_on(monkeypatch):
    """A clock of its own: path b is held up in all the rounds of the first pass."""
    passes = []

    def turns(rest, found, times, clock):
        passes.append(times)
        late = 1 if len(passes) > 1 else 10
        found["a"] += [1e-3] * times
        found["b"] += [1e-3, *[late * 1e-3] * (times - 1)] if late > 1 else [1e-3] * 20

    monkeypatch.setattr(measure, "turns", turns)
    monkeypatch.setattr(measure, "_first", lambda call, clock: 1e-3)
    found = measure.measure({"a": int, "b": int})
    assert passes == [measure.ROUNDS] * 2
    assert found.us == {"a": 1000.0, "b": 1000.0}


def test_a_path_that_was_interrupted_once_is_not_given_up(monkeypatch):
    # Another program may take the processor in the middle of the very call that decides.
    took = iter([1e-3, 9e-3, 1e-4, 1e-4])
    assert measure._first(lambda: None, lambda call: next(took)) == 1e-4


def test_calls_that_take_minutes_are_made_once():
    calls = []
    assert measure._affordable(1.0) == 3
    assert measure._affordable(60.0) == 0
    assert measure._affordable(0.01) == measure.ROUNDS
    told = []
    measure.measure({"a": lambda: calls.append(1)}, lambda path, seconds: told.append(path))
    assert told == ["a"]


def test_explain_measures_anew_what_is_on_file(choices, capsys):
    words = ["--in", "300", "--out", "200", "--batch", "8", "--json"]
    assert explain.main(words) == 0
    before = json.loads(capsys.readouterr().out)
    (name,) = before["on_file"]
    kept = {path: 1e6 * (1 + i) for i, path in enumerate(before["on_file"][name])}
    fresh = Measured(kept, kept, load=2.0, when=time.time())
    choices.write_text(json.dumps({name: fresh._asdict()}))
    assert explain.main(words) == 0
    assert json.loads(capsys.readouterr().out)["doubtful"] == [name]
    assert explain.main([*words, "--again"]) == 0
    after = json.loads(capsys.readouterr().out)["on_file"][name]
    assert max(after.values()) < 1e6


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', '{"x": {}}', '{"x": {"us": "b"}}'])
def test_a_damaged_file_of_choices_is_no_obstacle(choices, text):
    choices.write_text(text.replace('"x"', json.dumps(str(call()))))
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
