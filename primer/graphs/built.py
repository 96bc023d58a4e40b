"""A graph that its user builds: variables that have a name and no value, as in Theano.

>>> x, w = graph.variable("x"), graph.variable("w")
>>> y = (w @ x).tanh()                     # nothing is computed: two nodes are made

What Python asks of a value (is it true? how often?) has no answer yet, so it is refused.
"""

from collections.abc import Callable
from typing import Any

from primer.autodiff.overloaded import Overloaded, returned
from primer.graphs.graph import Graph, Node


class Builder:
    """Nodes in the order in which they were asked for."""

    def __init__(self):
        self.nodes: list[Node] = []

    def variable(self, name: str) -> "Symbol":
        """Return a leaf."""
        return self.node(name)

    def node(self, op: str, *inputs: Any) -> "Symbol":
        """Return a node; plain numbers among its inputs become leaves."""
        given = [i if isinstance(i, Symbol) else self.variable(repr(i)) for i in inputs]
        self.nodes.append((op, tuple(i.number for i in given)))
        return Symbol(self, len(self.nodes) - 1)


class Symbol(Overloaded):
    """A value that will be there when the graph is evaluated."""

    def __init__(self, builder: Builder, number: int):
        self.builder, self.number = builder, number

    def apply(self, op: str, *inputs: Any) -> "Symbol":
        """Make a node."""
        return self.builder.node(op, *inputs)

    def __bool__(self) -> bool:
        raise TypeError(
            f"node {self.number} has no value yet, so Python cannot branch on it: "
            "read the source, or trace the function with values"
        )


def build(f: Callable, *names: str, **fixed: Any) -> Graph:
    """Call a function with symbols of these names; what is fixed stays a Python value."""
    builder = Builder()
    y = f(*(builder.variable(name) for name in names), **fixed)
    return Graph(tuple(builder.nodes), (returned(y, Symbol).number,)).tidy()
