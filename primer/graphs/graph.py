"""A graph that is data: compared, evaluated, differentiated, whichever way it was made.

    nodes      (name, inputs); a leaf has no inputs, and the name of an argument or of a number
    results    numbers of the nodes that count: what is returned, and what is printed on the way

`tidy` numbers the nodes as a walk from the results meets them, and leaves out the others. So two
graphs are equal if and only if they compute the same in the same way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from primer.autodiff.ops import OPS
from primer.autodiff.overloaded import Overloaded

Node = tuple[str, tuple[int, ...]]


def _say(value: np.ndarray) -> np.ndarray:
    print(value)
    return value


FORWARD: dict[str, Callable] = {name: op.forward for name, op in OPS.items()} | {
    "greater": np.greater,
    "select": np.where,
    "print": _say,
}


@dataclass(frozen=True)
class Graph:
    """Nodes, and which of them are results; the last one is what the function returns."""

    nodes: tuple[Node, ...]
    results: tuple[int, ...]

    def tidy(self) -> "Graph":
        """Return the same graph with its nodes in the order of need."""
        place: dict[int, int] = {}
        found: list[Node] = []

        def visit(number: int) -> int:
            if number not in place:
                op, inputs = self.nodes[number]
                after = tuple(visit(i) for i in inputs)
                place[number] = len(found)
                found.append((op, after))
            return place[number]

        results = tuple(visit(r) for r in self.results)
        return Graph(tuple(found), results)

    def evaluate(self, **given: Any) -> Any:
        """Compute the result from arrays, or from tensors, whose tape then holds these nodes."""
        values: list[Any] = []
        for op, inputs in self.nodes:
            taken = [values[i] for i in inputs]
            values.append(_carried(op, taken) if inputs else _leaf(op, given))
        return values[self.results[-1]]

    def count(self, op: str) -> int:
        """Return how many nodes have this name."""
        return sum(name == op for name, _ in self.nodes)


def _leaf(name: str, given: Mapping[str, Any]) -> Any:
    return given[name] if name in given else np.asarray(float(name))


def _carried(op: str, taken: list) -> Any:
    for value in taken:
        if isinstance(value, Overloaded):
            return value.apply(op, *taken)
    return FORWARD[op](*taken)
