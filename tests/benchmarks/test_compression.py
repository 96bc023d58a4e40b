"""What the benchmark of compression compares."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import compression, pages


@pytest.fixture(autouse=True)
def _same_numbers():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


def test_all_sides_make_a_step_of_as_many_connections():
    sides = compression.sides(12, 10, 50.0)
    assert set(sides) >= {"ours", "dense"}
    for call in sides.values():
        call()


def test_ratios_are_to_ours(monkeypatch):
    took = {"ours": [(1.0, 1.0)] * 3, "dense": [(3.0, 4.0)] * 3}
    monkeypatch.setattr(compression, "in_turn", lambda calls, rounds: took)
    found = compression.line(12, 10, 50.0, 3)
    assert found["over_dense"] == 3.0
    assert found["dense_wall_ms"] == 4000


def test_changes_add_what_their_step_and_the_one_after_take_longer(monkeypatch):
    clock = iter(range(10**6))
    stopped = SimpleNamespace(process_time=lambda: float(next(clock)))
    monkeypatch.setattr(compression, "time", stopped)  # (others measure with the real one)
    monkeypatch.setattr(compression, "EVERY", 4)
    found = compression.share("rigl", 20.0, 2)
    assert found["step_ms"] == found["change_ms"] == found["after_ms"] == 1000
    assert found["share"] == 0

    kinds = iter((1.0, 10.0, 3.0))
    monkeypatch.setattr(compression, "median", lambda times: next(kinds))
    assert compression.share("rigl", 20.0, 2)["share"] == pytest.approx(11 / 15)


def test_changes_that_stop_before_the_end_take_less_of_a_training():
    step, change, after, steps = 2.0, 8.0, 4.0, 4000
    took = [step] * steps
    for t in range(100, 3 * steps // 4 + 1, 100):
        took[t - 1 : t + 1] = [change, after]
    without = step * steps
    share = (change + after - 2 * step) / (100 * step + change + after - 2 * step)
    found = pages.of_training(share, 0.75)
    assert found == pytest.approx((sum(took) - without) / sum(took), rel=1e-12)


def test_a_large_file_is_decoded_to_what_it_was(monkeypatch):
    monkeypatch.setattr(compression, "WEIGHTS", 20_000)
    (line,) = compression.decoding(1)
    assert 0 < line["bytes"] < 4 * 20_000
    assert line["seconds"] > 0
