"""A graph that is data, drawn: results above what they are made of.

A graph is ((name, inputs), ...): node i reads the nodes whose numbers are its inputs.
"""

from collections.abc import Sequence
from typing import Any

from harness.result.figure import COLORS

Graph = Sequence[tuple[str, tuple[int, ...]]]


def places(graph: Graph) -> list[tuple[float, float]]:
    """Return (x, y) of each node: y is its longest way from a leaf, x its turn at that height.

    A leaf stands just below the lowest node that reads it; the operation that everything waits for
    is at x = 0, what stands beside it at -1, -2, ...
    """
    height = [0] * len(graph)
    for i, (_, inputs) in enumerate(graph):
        height[i] = 1 + max((height[j] for j in inputs), default=-1)
    for j, (_, inputs) in enumerate(graph):
        readers = [height[i] for i, (_, read) in enumerate(graph) if j in read]
        if not inputs and readers:
            height[j] = min(readers) - 1
    taken: dict[int, int] = {}
    found = [(0.0, 0.0)] * len(graph)
    for i in sorted(range(len(graph)), key=lambda i: not graph[i][1]):
        found[i] = (-float(taken.get(height[i], 0)), float(height[i]))
        taken[height[i]] = taken.get(height[i], 0) + 1
    return found


def draw(ax: Any, graph: Graph, names: dict[int, str] | None = None) -> None:
    """Draw the graph into axes; leaves are white, operations coloured by their name."""
    at = places(graph)
    ops = list(dict.fromkeys(op for op, inputs in graph if inputs))
    for i, (_, inputs) in enumerate(graph):
        for j in inputs:
            arrow = dict(arrowstyle="-|>", color="#777777", shrinkA=11, shrinkB=11)
            ax.annotate("", at[i], at[j], arrowprops=arrow)
    for i, (op, inputs) in enumerate(graph):
        color = COLORS[ops.index(op) % 8] if inputs else "white"
        box = dict(boxstyle="round,pad=0.35", fc=color, ec="#444444")
        text = (names or {}).get(i, op)
        style = dict(color="white" if inputs else "black", ha="center", va="center")
        ax.text(*at[i], text, bbox=box, fontsize=9, **style)
    xs, ys = zip(*at, strict=True)
    ax.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    ax.axis("off")
