"""Tables of plans that have no committed record yet, from made-up ones."""

import pytest

from compress import pages
from harness.experiment import Experiment, Run
from harness.result.pages import table


def record(plan: str, arms: dict, data: str = "mnist") -> Experiment:
    """Two seeds of each arm, of which each is given as a function of the seed."""
    runs = [
        Run(arm, seed, arm, {"data": data}, rows(seed), facts={"connections": 50, "split": "x"})
        for arm, rows in arms.items()
        for seed in (0, 1)
    ]
    return Experiment("compress", plan, "?", runs)


def shown(monkeypatch, whole: Experiment, rows) -> list[str]:
    monkeypatch.setattr(pages, "record", lambda plan: whole)
    return table(rows()).splitlines()[2:]


def test_moving_connections_stand_beside_those_that_stay(monkeypatch):
    def arm(accuracy):
        return lambda seed: [
            {
                "epoch": 1,
                "test_accuracy": accuracy + seed / 1000,
                "train_time": 2.0,
                "memory": {"all": 2048 * (1 + seed)},
            }
        ]

    arms = {"dense": arm(0.98), "static-5": arm(0.96), "rigl-5": arm(0.97)}
    lines = shown(monkeypatch, record("dynamic", arms), lambda: pages.moving("dynamic"))
    assert [line.split(" | ")[0] for line in lines] == [
        "| dense",
        "| random places, which stay",
        "| RigL: grows by gradients",
    ]
    assert "2.95 ±" in lines[2]
    assert "| +1.00 |" in lines[2]  # (the same in both seeds: no interval)
    assert lines[2].endswith("| 2 | 3 |")  # (seconds; KiB, of 2 and 4 the mean)


def test_kinds_show_their_best_files(monkeypatch):
    file = {"bits": 3, "bytes": 60, "ratio": 9.0, "test_accuracy": 0.8}

    def arm(seed):
        return [{"epoch": 1, "test_accuracy": 0.9, "files": [file | {"bytes": 60 + 2 * seed}]}]

    (line,) = shown(monkeypatch, record("bytes", {"rigl-2": arm}), lambda: pages.kinds("bytes"))
    assert line.startswith("| RigL | 61 | 20.00 ±")


def test_claims_stand_beside_what_was_found(monkeypatch):
    def arm(seed):
        return [
            {"epoch": 1, "remaining": 1.0, "stop": 1000, "test_accuracy": 0.97},
            {"epoch": 2, "remaining": 0.211, "stop": 600 + 100 * seed, "test_accuracy": 0.98},
        ]

    whole = record("tickets", {"LeNet-300-100": arm})
    (line,) = shown(monkeypatch, whole, pages.claims)
    assert line.startswith("| 21.1 % | stops sooner than the dense net, % | 38 | 21.4 | 35.00 ±")


@pytest.mark.parametrize("name", pages.TABLES)
def test_a_plan_without_a_record_says_so(name, monkeypatch):
    monkeypatch.setattr(pages, "record", lambda plan: None)
    text = table(pages.TABLES[name]())
    assert pages.NOT_RUN in text or name == "plans"
