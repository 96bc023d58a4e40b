"""Writes nodes of an ONNX graph by formulas: `a * i % q` of values adds two nodes."""

from typing import Any

import numpy as np

from bibd.onnx.extras import load
from bibd.onnx.places import smallest


class Value:
    """Something that the graph computes, with the arithmetic of whole numbers."""

    def __init__(self, graph: "Graph", name: str):
        self.graph, self.name = graph, name

    def __add__(self, other):
        return self.graph.add("Add", self, other)

    def __sub__(self, other):
        return self.graph.add("Sub", self, other)

    def __mul__(self, other):
        return self.graph.add("Mul", self, other)

    def __floordiv__(self, other):
        return self.graph.add("Div", self, other)  # (of numbers that are not negative)

    def __mod__(self, other):
        return self.graph.add("Mod", self, other)

    def __eq__(self, other):
        return self.graph.add("Equal", self, other)

    def __lt__(self, other):
        return self.graph.add("Less", self, other)

    __radd__, __rmul__, __hash__ = __add__, __mul__, None  # pyright: ignore


class Graph:
    """Nodes and numbers that will be put in front of those that a model has.

    The same numbers are stored once. It knows the operations of a formula of bibd.onnx.places.
    """

    def __init__(self, prefix: str = "iddl"):
        self.prefix, self.nodes, self.initializers = prefix, [], []
        self._known: dict[Any, Value] = {}
        self.helper, self.arrays = load("onnx.helper", "onnx.numpy_helper")

    def add(self, kind: str, *inputs: Any, name: str = "", outputs: int = 1, **attributes: Any):
        """Add a node, and return its first output; numbers among its inputs become initializers."""
        given = [x if isinstance(x, Value) else self.number(x) for x in inputs]
        name = name or f"{self.prefix}.{len(self.nodes)}"
        names = [name, *(f"{name}.{i}" for i in range(1, outputs))]
        node = self.helper.make_node(kind, [x.name for x in given], names, **attributes)
        self.nodes.append(node)
        return Value(self, name)

    def number(self, x: Any, name: str = "") -> Value:
        """Return numbers that are stored in the file; whole ones without a type as int64."""
        x = np.asarray(x)
        key = name or (x.dtype.str, x.shape, x.tobytes())
        if key not in self._known:
            name = name or f"{self.prefix}.number.{len(self.initializers)}"
            self.initializers.append(self.arrays.from_array(np.asarray(x, order="C"), name))
            self._known[key] = Value(self, name)
        return self._known[key]

    @property
    def bytes(self) -> int:
        """The bytes of all numbers that are stored."""
        return sum(len(x.raw_data) for x in self.initializers)

    def column(self, n: int) -> Value:
        """Return 0, 1, ..., n - 1, one below the other."""
        return self.add("Unsqueeze", self.row(n), [1])

    def row(self, n: int) -> Value:
        """Return 0, 1, ..., n - 1, one beside the other."""
        return self.add("Range", 0, n, 1)

    def where(self, condition: Value, a: Any, b: Any) -> Value:
        """Return a where a condition holds, and b elsewhere."""
        return self.add("Where", condition, a, b)

    def take(self, table: np.ndarray, at: Value) -> Value:
        """Return the entries of a table, which is stored as small as can be, at these places."""
        return self.whole(self.add("Gather", smallest(table), at))

    def least(self, x: Value, count: int) -> Value:
        """Return so many of the smallest entries, in ascending order."""
        flat = self.add("Reshape", x, [-1])
        return self.add("TopK", flat, [count], largest=0, outputs=2)

    def whole(self, x: Any) -> Value:
        """Return numbers as int64."""
        return self.add("Cast", x, to=7)  # (TensorProto.INT64)
