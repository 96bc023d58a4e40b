"""The plain values that the run script leaves: means over seeds, read by anybody's pickle."""

import pickle

import pytest

from compress.plot_compress_experiments import write_means
from compress.plots.means import mean, plain
from harness.experiment import Experiment, Run
from harness.record import store


@pytest.fixture
def whole():
    def run(arm, seed, status="done"):
        file = {"bits": 3, "bytes": 100 + 10 * seed, "purposes": {"where": 30 + seed}}
        rows = [
            {"epoch": 1, "test_accuracy": 0.8, "files": []},
            {"epoch": 2, "test_accuracy": 0.8 + seed / 10, "files": [file], "new": {"stop": seed}},
        ]
        return Run(arm, seed, arm, {"data": "digits"}, rows, status=status)

    runs = [run("LeNet-5", 0), run("LeNet-5", 1), run("broken", 0, "failed")]
    return Experiment("compress", "deep_smoke", "?", runs)


def test_rows_keep_their_form_and_numbers_become_means(whole):
    assert plain(whole) == {
        "LeNet-5": [
            {"epoch": 1, "test_accuracy": 0.8, "files": []},
            {
                "epoch": 2,
                "test_accuracy": pytest.approx(0.85),
                "files": [{"bits": 3, "bytes": 105, "purposes": {"where": 30.5}}],
                "new": {"stop": 0.5},
            },
        ]
    }


def test_of_what_differs_and_is_no_number_there_is_no_mean():
    assert mean([{"a": "x", "b": "same", "c": 1}, {"a": "y", "b": "same"}]) == {
        "a": None,
        "b": "same",
    }
    assert mean([True, False]) is None
    assert mean([[1, 2, 3], [3, 4]]) == [2, 3]


def test_the_script_leaves_them_under_plan_and_time(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPRESS_RESULT", "1")
    write_means(whole, tmp_path, "20260102_030405")
    path = tmp_path / "compress_result_deep_smoke_20260102_030405.pkl"
    assert pickle.loads(path.read_bytes()) == store.load_plain(path) == plain(whole)
    assert b"numpy" not in path.read_bytes()


def test_who_only_draws_a_record_gets_none(whole, tmp_path, monkeypatch):
    monkeypatch.delenv("COMPRESS_RESULT", raising=False)
    write_means(whole, tmp_path, "20260102_030405")
    assert not list(tmp_path.iterdir())
