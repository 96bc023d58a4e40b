"""How stale the weights of a pipeline are, derived from its table alone.

Of `async_1f1b` with one micro-batch, stage k of N has a delay of N - 1 - k (less at the start) and
meets N - k versions at a time; schedules that flush have no delay and one version.
"""

from collections import Counter
from collections.abc import Iterator

from parallel.pipeline.actions import Action, Table, versions


def delays(table: Table) -> dict[Action, int]:
    """For each F, how many updates its stage makes from then until the gradient of it is used."""
    return {a: a.minibatch - made for a, made in versions(table).items() if a.op == "F"}


def histogram(table: Table) -> list[dict[int, int]]:
    """For each stage, how many of its micro-batches have which delay."""
    count: list[Counter[int]] = [Counter() for _ in range(table.stages)]
    for action, delay in delays(table).items():
        count[action.stage][delay] += 1
    return [dict(sorted(c.items())) for c in count]


def live(table: Table) -> list[int]:
    """For each stage, the most versions at a time that its waiting forwards met, and the newest."""
    most = [0] * table.stages
    for row in table.ranks:
        for stage, number in _live(table, row):
            most[stage] = max(most[stage], number)
    return most


def _live(table: Table, row: tuple[Action, ...]) -> Iterator[tuple[int, int]]:
    met = versions(Table(table.name, (row,), table.stages))
    waiting: dict[int, Counter[int]] = {a.stage: Counter() for a in row}
    newest: Counter[int] = Counter()
    for action in row:
        stage, op, t, j = action
        newest[stage] += op == "U"
        if op == "F":
            waiting[stage][met[action]] += 1
        elif op in "BW":
            waiting[stage] -= Counter([met[Action(stage, "F", t, j)]])
        yield stage, len({newest[stage], *waiting[stage]})
