"""When each action of a table begins and ends: simulated from the cost of each, or as measured.

    simulate(table, {"F": 1, "B": 2})       the same cost on each stage
    simulate(table, {(0, "F"): 3.1, ...})   a cost for each stage and op (such as measured ones)
    measured(table, {action: (begin, end)}) what a run took

A clock says which of these it is, and one never holds times of two kinds. Whole numbers and
fractions as costs give exact times; what `formulas` says is met exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from numbers import Rational
from typing import Any, Literal

from parallel.pipeline.actions import Action, Table, needs
from parallel.pipeline.checks import order

UNIT: Mapping[Any, Any] = {"F": 1, "B": 2, "I": 1, "W": 1, "U": 0}
Times = Mapping[Action, tuple[Any, Any]]


@dataclass(frozen=True)
class Clock:
    """Begin and end of each action.

    Args:
        table: Whose actions.
        times: Begin and end of each; in the unit of the costs, from 0.
        source: Where they come from, in words.
    """

    table: Table
    times: Times
    source: str

    @cached_property
    def makespan(self) -> Any:
        """From the first begin to the last end."""
        return max(e for _, e in self.times.values()) - min(b for b, _ in self.times.values())

    def busy(self, rank: int) -> Any:
        """How long a rank works."""
        return sum(e - b for b, e in map(self.times.__getitem__, self.table.ranks[rank]))

    @property
    def idle(self) -> list[Any]:
        """How long each rank waits, from the first begin to the last end of all."""
        return [self.makespan - self.busy(rank) for rank in range(len(self.table.ranks))]

    @property
    def bubble(self) -> Any:
        """The share of all ranks' time in which they wait; a Fraction where times are exact."""
        return _ratio(sum(self.idle), len(self.table.ranks) * self.makespan)

    @property
    def throughput(self) -> Any:
        """Minibatches in a unit of time."""
        return _ratio(self.table.minibatches, self.makespan)

    def __str__(self) -> str:
        return (
            f"{self.table.name}, {self.source}: makespan {show(self.makespan)}, "
            f"bubble {show(self.bubble)}, {show(self.throughput)} minibatches in a unit of time"
        )


def show(number: Any) -> str:
    """Exact numbers as they are, others with four digits."""
    if isinstance(number, Fraction) and number.denominator > 1:
        return f"{number} = {float(number):.4g}"
    return str(number) if isinstance(number, Rational) else f"{number:.4g}"


def _ratio(a: Any, b: Any) -> Any:
    return Fraction(a, b) if isinstance(a, Rational) and isinstance(b, Rational) else a / b


def simulate(
    table: Table,
    costs: Mapping[Any, Any] = UNIT,
    communication: Any = 0,
    source: Literal["given", "measured"] = "given",
) -> Clock:
    """Each action begins once its rank is free and what it needs has ended (and arrived).

    Args:
        table: The actions.
        costs: How long each takes: by op ("F"), by stage and op ((0, "F")), or by action; the
            narrower one counts. U costs nothing where nothing is said.
        communication: How long an activation or a gradient is on its way to another rank.
        source: Where the costs come from: "given" or "measured"; the clock says so.

    Raises:
        ValueError: a cost is missing or below zero, all are zero, or the table is stuck.
    """
    cost = _costs(table, costs, communication)
    free: list[Any] = [0] * len(table.ranks)
    times: dict[Action, tuple[Any, Any]] = {}
    for action in order(table):
        rank = table.home[action.stage]
        begin = free[rank]
        for need in needs(table, action):
            far = communication if table.home[need.stage] != rank else 0
            begin = max(begin, times[need][1] + far)
        free[rank] = begin + cost[action]
        times[action] = begin, free[rank]
    on_way = f", {show(communication)} from rank to rank" if communication else ""
    return Clock(table, times, f"simulated from {source} costs{on_way}")


def _costs(table: Table, costs: Mapping[Any, Any], communication: Any) -> dict[Action, Any]:
    """Of each action; what is said of the op alone counts least."""
    found: dict[Action, Any] = {}
    for action in (a for row in table.ranks for a in row):
        keys = action, (action.stage, action.op), action.op
        key = next((key for key in keys if key in costs), None)
        if key is None and action.op != "U":
            raise ValueError(
                f"no cost of {action.op} on stage {action.stage}: expected one of each op of "
                f"schedule {table.name!r}, such as {_example(table)}"
            )
        found[action] = 0 if key is None else costs[key]
    for what, number in [*found.items(), ("communication", communication)]:
        if not 0 <= number < float("inf"):
            name = table.name_of(what) if isinstance(what, Action) else what
            raise ValueError(f"the cost of {name} is {number}: expected a time, 0 or more")
    if not any(found.values()):
        raise ValueError("nothing takes any time: expected a cost above 0, such as F=1")
    return found


def _example(table: Table) -> str:
    ops = {a.op for row in table.ranks for a in row}
    return ",".join(f"{op}={cost}" for op, cost in UNIT.items() if op in ops and cost)


def measured(table: Table, times: Times) -> Clock:
    """A clock of what a run took, moved so that the first action begins at 0.

    Raises:
        ValueError: an action of the table has no time.
    """
    actions = [a for row in table.ranks for a in row]
    missing = [table.name_of(a) for a in actions if a not in times]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(actions)} actions have no measured time, the first is "
            f"{missing[0]}: expected begin and end of each"
        )
    start = min(times[a][0] for a in actions)
    return Clock(
        table, {a: (times[a][0] - start, times[a][1] - start) for a in actions}, "measured"
    )
