"""A graph that is what happened: the function runs with values, and a tape writes it down.

Whatever Python does between operations is done once, for these values, and leaves no trace: which
branch was taken, how often a loop went round, what was printed.
"""

from collections.abc import Callable
from typing import Any

from primer.autodiff.overloaded import returned
from primer.graphs.graph import Graph
from primer.tape import Tape, Tensor


def trace(f: Callable, fixed: dict[str, Any] | None = None, **given: Any) -> Graph:
    """Run a function with the values of its arguments, and return what it did."""
    tape = Tape()
    y = f(*(tape.leaf(value, name) for name, value in given.items()), **(fixed or {}))
    return Graph(tape.graph(), (returned(y, Tensor).number,)).tidy()
