"""Times of several nets in turn."""

import torch

from ensemble.turns import WARM, turns


def test_sides_are_called_in_turn_with_the_same_batches():
    seen = []
    sides = {name: lambda part, name=name: seen.append((name, len(part), float(part[0])))
             for name in ("a", "b")}  # fmt: skip
    found = turns(sides, torch.arange(10.0), 4, calls=9)
    timed = seen[2 * WARM :]
    assert timed == [("a", 4, 0.0), ("b", 4, 0.0), ("a", 4, 4.0), ("b", 4, 4.0)]
    assert {key for told in found.values() for key in told} == {"cpu", "wall"}


def test_fewer_samples_than_a_batch_are_one_call():
    found = turns({"a": lambda part: part.sum()}, torch.arange(3.0), 128, calls=5)
    assert all(value >= 0 for value in found["a"].values())


def test_waiting_costs_no_cpu_time():
    import time

    found = turns({"waits": lambda part: time.sleep(0.02)}, torch.zeros(2), 1, calls=2)
    assert found["waits"]["wall"] >= 20
    assert found["waits"]["cpu"] < found["waits"]["wall"]
