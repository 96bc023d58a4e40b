"""What each schedule takes, in closed form, for equal stages with F = I = W = 1, B = 2, U = 0.

The time unit is one forward of one stage, so a rank of V stages works 3 V for each micro-batch. P
ranks, m micro-batches in a minibatch, V stages on each rank, M minibatches. Each holds for all P, m
and V that its schedule takes; the published ones, such as (P - 1) / (V m + P - 1), are those of
m >= P.
"""

from fractions import Fraction

from harness.names import check
from parallel.pipeline.actions import Table

NAMES = ("naive", "gpipe", "1f1b", "interleaved", "zb_h1", "zbv", "async_1f1b")


def sizes_of(table: Table) -> tuple[str, int, int, int, int]:
    """Name, P, m, V and M of a table, as the functions here take them."""
    ranks = len(table.ranks)
    return table.name, ranks, table.micro, table.stages // ranks, table.minibatches


def makespan(name: str, ranks: int, micro: int, chunks: int = 1, minibatches: int = 1) -> int:
    """From the first begin to the last end.

    Args:
        name: Of the schedule.
        ranks: P.
        micro: m.
        chunks: V, 2 for zbv.
        minibatches: M. Those that flush take M times as long, but for zbv, whose first rank is free
            before its last.

    Raises:
        ValueError: no such schedule, or one without a formula: zbv for several minibatches of less
            than 2 P - 1 micro-batches.
    """
    P, m, V, M = ranks, micro, chunks, minibatches
    check("schedule", name, NAMES)
    if name == "async_1f1b":
        return 3 * (m * M + P - 1)
    if name == "zbv" and M > 1:
        if m < 2 * P - 1:
            raise ValueError(
                f"no formula of zbv for {M} minibatches of {m} micro-batches on {P} ranks: "
                f"expected at least {2 * P - 1} micro-batches; simulate() it"
            )
        return 3 * V * m * M + P - 1
    return M * _one(name, P, m, V)


def _one(name: str, P: int, m: int, V: int) -> int:
    """Of one minibatch that is flushed."""
    if name == "naive":
        return 3 * m * P
    if name == "zbv":
        return max(3 * V * m + P - 1, 4 * m + 4 * P - 2 if V == 2 else 0)
    if name == "zb_h1":
        few = max(V * (2 * m + P) + P - 1, 2 * V * P + 2 * m - 1)
        return few if m < P else 3 * V * m + P - 1
    return 3 * (V * max(m, P) + min(m, P) - 1)


def bubble(name: str, ranks: int, micro: int, chunks: int = 1, minibatches: int = 1) -> Fraction:
    """The share of all ranks' time in which they wait; arguments and errors as of `makespan`."""
    whole = makespan(name, ranks, micro, chunks, minibatches)
    return 1 - Fraction(3 * chunks * micro * minibatches, whole)


def activations(
    name: str, ranks: int, micro: int, chunks: int = 1, minibatches: int = 1
) -> list[int]:
    """The most micro-batches, one for each stage of a rank, that wait for their backward.

    What each of them keeps is 1 / V of what a rank of one large stage would keep. Arguments as of
    `makespan`.

    Raises:
        ValueError: no such schedule.
    """
    P, m, V = ranks, micro, chunks
    per = m // max(1, m // P)  # micro-batches in a round
    full = m * V * (minibatches if name == "async_1f1b" else 1)
    most = {
        "naive": lambda r: 1,
        "gpipe": lambda r: m,
        "1f1b": lambda r: P - r,
        "interleaved": lambda r: (V - 1) * per + 2 * (P - 1 - r) + 1,
        "zb_h1": lambda r: (V - 1) * per + P,
        "zbv": lambda r: min(V * P, m + 1 + r),
        "async_1f1b": lambda r: P - r,
    }[check("schedule", name, NAMES)]
    return [min(full, most(r)) for r in range(P)]
