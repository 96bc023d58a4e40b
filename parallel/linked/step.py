"""What the busiest host sends in a step on average, of a strategy as study link calls it."""

from collections.abc import Sequence
from math import prod

from harness.names import check
from parallel.linked.names import ALL, NAMES
from parallel.linked.predicted import cost
from parallel.strategy import Strategy, make
from parallel.strategy.compressed import Compressed

STEPS = 240  # in which periods of 16 and rounds of 1,024 peers come often enough
Shapes = Sequence[Sequence[int]]


def in_a_step(
    name: str, workers: int, shapes: Shapes, itemsize: int, per_host: int = 1
) -> tuple[float, float]:
    """Return the bytes of the busiest host, and rounds of messages, of a step on average.

    Args:
        name: One of NAMES.
        workers: How many there are.
        shapes: Of the tensors that are trained.
        itemsize: Bytes of a number where it is sent as it is.
        per_host: How many workers share a cable.

    Raises:
        ValueError: an unknown strategy, or workers that do not fill the hosts of one that needs it.
    """
    made = started(check("strategy", name, NAMES), workers, per_host)
    size = sum(_size(made, shape, itemsize) for shape in shapes)
    found = cost(made, 0, STEPS, workers * made.theory(size, STEPS), per_host)
    return found.bytes / STEPS, found.rounds / STEPS


def started(name: str, workers: int, per_host: int) -> Strategy:
    """Return the strategy of so many workers."""
    options = {k: v for k, v in ALL[name].items() if k != "strategy"}
    if "alpha" in options:  # (which changes no byte, but may not throw a centre around)
        options["alpha"] = 1 / workers
    if name == "hierarchical":
        options["per_machine"] = per_host
    made = make(ALL[name].get("strategy", "all_reduce"), **options)
    made.init(workers)
    return made


def _size(strategy: Strategy, shape: Sequence[int], itemsize: int) -> int:
    if isinstance(strategy, Compressed):
        return strategy.sends.size(shape, itemsize)
    return itemsize * prod(shape)
