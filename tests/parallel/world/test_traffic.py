"""Bytes that machines send: each machine once, and what telemetry sends apart."""

import pytest

from parallel import World, train
from parallel.world import traffic

STEPS = dict(steps=6, every=2, batch_size=96)


def rows(world, strategy, **options):
    from harness.nets.perceptron import mlp

    return list(train(mlp((64, 8, 10), seed=0), strategy=strategy, world=world, **STEPS, **options))


@pytest.mark.parametrize("strategy", ["no_comm", "local_sgd", "gossip_pull", "ist", "zero3"])
def test_rows_without_the_consensus_send_no_model_for_it(strategy):
    every, last = (rows(World.sim(3), strategy, consensus=c) for c in (True, False))
    assert [("test_accuracy" in row, "consensus_distance" in row) for row in last] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    for kept in ("train_loss", "bytes_payload", "bytes_planned"):
        assert [row[kept] for row in every] == [row[kept] for row in last]
    assert every[-1]["test_loss"] == last[-1]["test_loss"]
    assert [row["bytes_telemetry"] for row in last[:2]] == [0.0, 0.0]
    once = last[-1]["bytes_telemetry"]
    assert [row["bytes_telemetry"] for row in every] == [once, 2 * once, 3 * once]


def test_telemetry_of_workers_that_never_talk_is_a_ring_for_the_test_and_one_for_the_distance():
    found = rows(World.sim(3), "no_comm")
    model = 4 * (64 * 8 + 8 + 8 * 10 + 10)
    assert found[0]["bytes_telemetry"] == 2 * (2 * 2 * model)
    assert found[-1]["bytes_payload"] == 0


def test_processes_count_telemetry_as_the_simulation_does_and_their_machine_once():
    simulated, found = (rows(w, "local_sgd")[-1] for w in (World.sim(2), World.procs(2)))
    assert found["bytes_telemetry"] == simulated["bytes_telemetry"]
    assert (simulated["machines"], simulated["bytes_os"]) == (1, None)
    assert found["machines"] == 1
    assert found["bytes_os"] > found["bytes_payload"]


@pytest.mark.skipif(not traffic.BOOT.exists(), reason="Linux tells its start by a number")
def test_a_machine_without_an_address_of_its_own_is_one_machine(monkeypatch):
    """uuid.getnode() is then random in each process."""
    numbers = iter(range(1 << 40, 1 << 41))
    monkeypatch.setattr(traffic.uuid, "getnode", lambda: next(numbers))
    assert traffic.machine() == traffic.machine()


def test_each_machine_counts_once_and_one_without_counters_makes_all_unknown(monkeypatch):
    monkeypatch.setattr(traffic, "traffic_out", lambda since: 10)
    monkeypatch.setattr(traffic, "machine", lambda: 1)
    told = iter([[1, 1, 2], [10, 10, 5]])
    assert traffic.of_all(0, lambda value: next(told)) == {"bytes_os": 15, "machines": 2}
    told = iter([[1, 2], [10, -1]])
    assert traffic.of_all(0, lambda value: next(told)) == {"bytes_os": None, "machines": 2}
