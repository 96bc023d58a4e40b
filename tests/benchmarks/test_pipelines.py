"""What the benchmark of pipelines takes for the cost of an action."""

from types import SimpleNamespace

from benchmarks import pipelines
from parallel.pipeline.actions import Action


def test_what_an_action_waits_for_others_is_no_cost_of_it(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pipelines.time, "perf_counter", lambda: now[0])

    def wait(ticket):
        now[0] += 100
        return ticket

    one = SimpleNamespace(comm=SimpleNamespace(wait=wait), executor=SimpleNamespace())
    costs = pipelines.Costs(one)  # pyright: ignore[reportArgumentType]
    for op, seconds in (("F", 2), ("B", 3), ("F", 4)):
        now[0] += seconds / 2
        assert one.comm.wait("came") == "came"
        now[0] += seconds / 2
        one.executor.watch(Action(1, op, 0), None)
    assert (costs.mean(1, "F"), costs.mean(1, "B")) == (3, 3)
    costs.begin()
    now[0] += 1
    one.executor.watch(Action(1, "F", 1), None)
    assert costs.mean(1, "F") == 1
