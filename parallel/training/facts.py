"""What a pipeline is and was, as a dict: theory beside what was counted, simulated beside measured.

Lists have an entry for each stage. Names end in what they are:

    _theory       from table, policy and shapes alone (where updates wait: of one minibatch)
    _counted      what the run held or sent
    _table        by the clock, where F = I = W = 1 and B = 2
    _simulated    by the clock, from the times of each stage's passes as they were measured
    _measured     by the clock on the wall
"""

import copy
from typing import Any

import torch

from parallel.pipeline.actions import Table
from parallel.pipeline.clock import simulate
from parallel.pipeline.kept import kept
from parallel.pipeline.meter import CALLS
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.staleness import histogram
from parallel.training.copies import Copies


def facts(copies: Copies, done: int, samples: int) -> dict[str, Any]:
    """Return all that is known; to be called by all ranks together.

    Args:
        copies: The replicas that are here.
        done: Updates so far.
        samples: What they have seen.
    """
    table = copies.executor.table
    found = {"replicas": copies.pipeline.replicas, "ranks": copies.pipeline.lane}
    found |= {"layer_split": copies.split}
    found |= times(copies, table, samples)
    found |= {"delays_theory": histogram(table), "delays_counted": _delays(copies, table)}
    return found | memory(copies, table) | traffic(copies, done, samples)


def _each(copies: Copies, values: dict[int, float]) -> list[Any]:
    """For each stage what the ranks say that have it; of replicas the most."""
    stages = range(copies.pipeline.stages)
    return [max(copies.comm.everyone(float(values.get(k, 0)))) for k in stages]


def _whole(values: list[float]) -> list[int]:
    return [int(v) for v in values]


def _delays(copies: Copies, table: Table) -> list[dict[int, int]]:
    """How many micro-batches met so many updates of the stage between their passes."""
    most = max((d for one in histogram(table) for d in one), default=0)
    own = copies.meter.of("delays")
    each = [_each(copies, {k: c[d] for k, c in own.items()}) for d in range(most + 1)]
    stages = range(copies.pipeline.stages)
    return [{d: int(each[d][k]) for d in range(most + 1) if each[d][k]} for k in stages]


def times(copies: Copies, table: Table, samples: int) -> dict[str, Any]:
    """Bubbles, and samples in a second."""
    meter, comm = copies.meter, copies.comm
    ops = {a.op for row in table.ranks for a in row}
    costs: dict[Any, float] = {}
    for op in sorted(ops & CALLS.keys()):
        each = _each(copies, meter.costs(op))
        costs |= {(k, op): cost for k, cost in enumerate(each)}
    clock = simulate(table, costs, source="measured") if any(costs.values()) else None
    each = samples / max(copies.updates, 1)  # of a minibatch
    slowest = max(comm.everyone(meter.elapsed))
    rate = copies.seen / slowest if slowest else None
    return {
        "bubble_table": float(simulate(table).bubble),
        "bubble_simulated": float(clock.bubble) if clock else None,
        "bubble_measured": copies.idle(),
        "samples_per_second_simulated": each * clock.throughput if clock else None,
        "samples_per_second_measured": rate,
    }


def memory(copies: Copies, table: Table) -> dict[str, Any]:
    """Versions of weights and what micro-batches keep, with their bytes."""
    pipeline, meter = copies.pipeline, copies.meter
    first = copies.each[0].executor.stages
    size = _whole(_each(copies, {k: stage.weights.bytes() for k, stage in first.items()}))
    versions = expected_versions(pipeline)
    one = {k: kept(first[k], kinds) for k, kinds in meter.of("kinds").items() if kinds}
    held = _whole(_each(copies, meter.of("held")))
    bytes_of_one = _whole(_each(copies, {k: float(v) for k, v in one.items()}))
    return {
        "version_bytes": size,
        "versions_theory": versions,
        "versions_counted": _whole(_each(copies, meter.of("versions"))),
        "versions_bytes_theory": [n * b for n, b in zip(versions, size, strict=True)],
        "versions_bytes_counted": _whole(_each(copies, meter.of("stash"))),
        "activations_theory": held_by_stage(table),
        "activations_counted": held,
        "activation_bytes_counted": [n * b for n, b in zip(held, bytes_of_one, strict=True)],
    }


def expected_versions(pipeline: Pipeline) -> list[int]:
    """Versions of each stage's weights that are held at a time, once all is full."""
    n = pipeline.stages
    if pipeline.waits:
        return [1] * n
    return [pipeline.policy.theory(k, n)["versions"] for k in range(n)]


def held_by_stage(table: Table) -> list[int]:
    """The most micro-batches of each stage that wait there for their backward."""
    now, most = [0] * table.stages, [0] * table.stages
    for row in table.ranks:
        for action in row:
            now[action.stage] += (action.op == "F") - (action.op in "BW")
            most[action.stage] = max(most[action.stage], now[action.stage])
    return most


@torch.no_grad()
def _widths(copies: Copies) -> list[int]:
    """Bytes of a sample at each boundary, tried on copies of the layers."""
    first, found = copies.each[0], []
    modules = [copy.deepcopy(module).eval() for module in first.parts.modules[:-1]]
    x = first.batches.inputs(1)
    with torch.random.fork_rng():
        for module in modules:
            x = module(x.clone())
            found.append(x.numel() * x.element_size())
    return found


def traffic(copies: Copies, done: int, samples: int) -> dict[str, Any]:
    """Bytes between stages and between replicas.

    Theory is of what the updates so far needed; while minibatches are in flight, what they have
    sent is counted already.
    """
    pipeline, home = copies.pipeline, copies.executor.table.home
    widths = _widths(copies)
    crossed = [w * (home[k] != home[k + 1]) for k, w in enumerate(widths)]
    params = [p for m in copies.each[0].parts.modules for p in m.parameters() if p.requires_grad]
    size = sum(p.numel() * p.element_size() for p in params)
    sent = copies.bytes()
    gradients = int(sent.get("bytes_gradients", 0))
    return {
        "boundary_bytes_a_sample": widths,
        "boundary_bytes_theory": 2 * samples * sum(crossed),
        "boundary_bytes_counted": int(sent["bytes_payload"]) - gradients,
        "gradient_bytes_theory": 2 * (pipeline.replicas - 1) * size * done,
        "gradient_bytes_counted": gradients,
    }
