"""What there is to say of a schedule and its clock: as text for people, and as JSON takes it."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from rich.console import Console

from harness.result import screen
from parallel.pipeline import formulas, staleness
from parallel.pipeline.actions import Table, held
from parallel.pipeline.clock import Clock, show
from parallel.pipeline.terminal import MOST, grid

HEADS = ["rank", "stages", "activations held", "by the formula", "busy", "idle"]
HEADS += ["delays (of how many micro-batches)", "versions in flight"]


def formula(table: Table) -> Fraction | None:
    """The bubble with unit costs in closed form, where there is one."""
    try:
        return formulas.bubble(*formulas.sizes_of(table))
    except ValueError:
        return None


def text(clock: Clock, width: int) -> str:
    """Everything, for people."""
    exact = formula(clock.table)
    said = "none for these sizes" if exact is None else show(exact)
    try:
        rows = grid(clock, width)
    except ValueError:
        rows = f"(more than {MOST} columns: not drawn)"
    lines = [
        str(clock),
        f"bubble by the formula, with F=I=W=1, B=2 and nothing on the way: {said}",
        f"\n{rows}\n",
    ]
    return "\n".join([*lines, _ranks(clock, width)])


def _ranks(clock: Clock, width: int) -> str:
    """A table with a line for each rank."""
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(*screen.layout(HEADS, list(_rows(clock)), width), sep="\n\n")
    return capture.get().rstrip()


def _rows(clock: Clock) -> Iterator[list[str]]:
    table = clock.table
    theory = formulas.activations(*formulas.sizes_of(table))
    counts, live = staleness.histogram(table), staleness.live(table)
    for rank, kept in enumerate(held(table)):
        stages = sorted(stage for stage, home in table.home.items() if home == rank)
        delays = sum((Counter(counts[stage]) for stage in stages), Counter())
        yield [
            str(rank),
            " ".join(map(str, stages)),
            str(kept),
            str(theory[rank]),
            show(clock.busy(rank)),
            show(clock.idle[rank]),
            " ".join(f"{delay} ({n})" for delay, n in sorted(delays.items())),
            str(max(live[stage] for stage in stages)),
        ]


def facts(clock: Clock) -> dict[str, Any]:
    """Everything, as JSON takes it; exact numbers also as they are."""
    table, exact = clock.table, formula(clock.table)
    return {
        "schedule": table.name,
        "stages": table.stages,
        "ranks": len(table.ranks),
        "minibatches": table.minibatches,
        "micro": table.micro,
        "source": clock.source,
        "makespan": float(clock.makespan),
        "bubble": float(clock.bubble),
        "bubble_exact": str(clock.bubble),
        "bubble_formula": None if exact is None else str(exact),
        "throughput": float(clock.throughput),
        "idle": list(map(float, clock.idle)),
        "activations": held(table),
        "activations_formula": formulas.activations(*formulas.sizes_of(table)),
        "delays": staleness.histogram(table),
        "versions": staleness.live(table),
        "table": [list(map(table.name_of, row)) for row in table.ranks],
    }
