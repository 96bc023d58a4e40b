"""Reverse mode: operators that write down what they did, and a walk back over what they wrote.

>>> y, pull = vjp(lambda x: (W @ x).tanh(), x)
>>> (gradient,) = pull(g)                  # g^T J

The graph is data: `tape.nodes` holds an operation's name, the numbers of its inputs, and of its
values only those that the way back reads (ops.reads). `tape.graph()` is the part that has no
numbers in it; `primer.autodiff.diagram` draws it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from primer.autodiff.ops import OPS
from primer.autodiff.overloaded import Overloaded, returned
from primer.count import alive, plus, watched


@dataclass(frozen=True)
class Node:
    """A leaf, or an operation with what its pulls read: the result, then the inputs."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    active: bool  # whether a gradient has to come through here
    kept: tuple[np.ndarray | None, ...] = ()


class Tape:
    """Nodes in the order of their execution."""

    def __init__(self):
        self.nodes: list[Node] = []

    def leaf(self, value: Any, name: str = "", active: bool = False) -> "Tensor":
        """Put a value on the tape that no operation made; a number without a name is its own."""
        value = np.asarray(value)
        name = name or ("const" if value.ndim else repr(value.item()))
        self.nodes.append(Node(name, (), value.shape, active))
        return Tensor(self, len(self.nodes) - 1, value)

    def write(self, op: str, inputs: "list[Tensor]", y: np.ndarray) -> "Tensor":
        """Write an operation down, and keep what its pulls will read.

        Raises:
            ValueError: a sum or a product repeats a value that a gradient has to come back to.
        """
        self._check(op, inputs, y)
        asked = {
            word
            for reads, i in zip(OPS[op].reads, inputs, strict=True)
            for word in reads
            if self.nodes[i.number].active
        }
        values = {"y": y, **{str(k): i.value for k, i in enumerate(inputs)}}
        kept = tuple(v if word in asked else None for word, v in values.items())
        active = any(self.nodes[i.number].active for i in inputs)
        self.nodes.append(Node(op, tuple(i.number for i in inputs), y.shape, active, kept))
        return Tensor(self, len(self.nodes) - 1, y)

    def _check(self, op: str, inputs: "list[Tensor]", y: np.ndarray) -> None:
        for i in inputs if op in ("add", "mul") else ():
            if self.nodes[i.number].active and i.value.shape != y.shape:
                raise ValueError(
                    f"{op} repeats a value of shape {i.value.shape} to {y.shape}, and its gradient "
                    "would have to be summed: repeat it by a product, such as np.ones((n, 1)) @ b"
                )

    def saved(self) -> list[np.ndarray]:
        """Return the results that the tape keeps, each once; leaves would be there without it."""
        found = {}
        for node in self.nodes:
            results = [True, *(bool(self.nodes[i].inputs) for i in node.inputs)]
            for a, is_result in zip(node.kept, results, strict=bool(node.kept)):
                if a is not None and is_result:
                    found[id(a)] = a
        return list(found.values())

    def graph(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Return the names and the inputs of all nodes, without any number."""
        return tuple((node.op, node.inputs) for node in self.nodes)

    def pull(self, top: int, g: np.ndarray) -> dict[int, np.ndarray]:
        """Carry a gradient of node `top` back to all active leaves, by their numbers.

        One with several columns, where node `top` has one, is as many gradients at once.
        """
        waiting, found = {top: np.asarray(g)}, {}
        saved = self.saved() if watched() else []
        for number in range(top, -1, -1):
            if number not in waiting:
                continue
            node = self.nodes[number]
            if not node.inputs:
                found[number] = waiting.pop(number)
                continue
            if watched():
                alive(*saved, *(g for i, g in waiting.items() if self.nodes[i].inputs))
            g = waiting.pop(number)
            for i, pull in zip(node.inputs, OPS[node.op].pulls, strict=True):
                if self.nodes[i].active:
                    part = pull(g, *node.kept)
                    part = part if part.ndim else np.broadcast_to(part, self.nodes[i].shape)
                    waiting[i] = plus(waiting[i], part) if i in waiting else part
        return found


class Tensor(Overloaded):
    """A value, and its place on a tape."""

    def __init__(self, tape: Tape, number: int, value: np.ndarray):
        self.tape, self.number, self.value = tape, number, value

    def __gt__(self, other) -> bool:
        return bool(self.value > getattr(other, "value", other))  # an answer, not an operation

    def apply(self, op: str, *inputs: Any) -> "Tensor":
        """Compute, and write it down."""
        given = [i if isinstance(i, Tensor) else self.tape.leaf(i) for i in inputs]
        return self.tape.write(op, given, OPS[op].forward(*(i.value for i in given)))


def vjp(f: Callable, *given: np.ndarray) -> tuple[np.ndarray, Callable]:
    """Return f of what is given, and a function from a gradient of that to those of the given.

    Raises:
        TypeError: f returns what is not computed on the tape.
    """
    tape = Tape()
    leaves = [tape.leaf(a, f"x{k}", active=True) for k, a in enumerate(given)]
    y = returned(f(*leaves), Tensor)

    def pull(g) -> tuple[np.ndarray, ...]:
        found = tape.pull(y.number, g)
        return tuple(found.get(i.number, np.zeros_like(i.value)) for i in leaves)

    return y.value, pull


def grad(f: Callable, *given: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the gradients of a scalar function for everything that is given.

    Raises:
        ValueError: it returns several numbers.
    """
    y, pull = vjp(f, *given)
    if y.size != 1:
        raise ValueError(
            f"grad is of a function that returns one number, got shape {y.shape}: add .total(), "
            "or take vjp with a gradient of that shape"
        )
    return pull(np.ones_like(y))
