"""A backward pass in two halves, which do together what the whole one does, and no more.

To ask autograd for the gradient of the inputs, and later for those of the weights, goes through the
layers twice: of L linear layers the second half then does 2L - 1 matrix products, not L. So the
first half keeps what arrives where weights join the way to the inputs:

    inputs   y ──► [joint] ──► [joint] ──► x        each joint's gradient is kept: L more tensors
    weights         └─► w1       └─► w0             from each joint to its own weights: L products

A weight that joins twice (one layer called twice in a stage) has no one joint: its stage goes
through its layers twice.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, Node

State = dict[str, torch.Tensor]


class Halves:
    """The two halves for one micro-batch.

    Args:
        y: The output.
        x: The input, a leaf.
        weights: Leaves, by name.
        seek: Whether to look for joints; a stage with one needs none.
    """

    def __init__(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        weights: Mapping[str, torch.Tensor],
        seek: bool = True,
    ):
        self.y, self.x, self.weights = y, x, weights
        self.joints = joints(y, x, weights) if seek else None
        self.came: dict[Node, tuple[torch.Tensor | None, ...]] = {}  # at each joint

    def inputs(self, dy: torch.Tensor) -> torch.Tensor | None:
        """The gradient of the input; None where the output does not depend on it."""
        keep = [node.register_prehook(partial(self._keep, node)) for node in self.joints or ()]
        try:
            return torch.autograd.grad(
                self.y, self.x, dy, retain_graph=bool(self.weights), allow_unused=True
            )[0]
        finally:
            for handle in keep:
                handle.remove()

    def _keep(self, node: Node, came: tuple[torch.Tensor | None, ...]) -> None:
        self.came[node] = came

    def gradients(self, dy: torch.Tensor) -> State:
        """Those of the weights; to be called after the other half."""
        if self.joints is None:
            return found([self.y], [dy], self.weights)
        every: State = {}
        for node, names in self.joints.items():
            here = [(i, g) for i, g in enumerate(self.came.pop(node, ())) if g is not None]
            if here:
                edges, came = [GradientEdge(node, i) for i, _ in here], [g for _, g in here]
                every |= found(edges, came, {name: self.weights[name] for name in names})
        return {name: every[name] for name in self.weights if name in every}


def found(outputs: list[Any], came: list[torch.Tensor], weights: Mapping[str, Any]) -> State:
    """Gradients of those of the weights on which the outputs depend."""
    if not weights:
        return {}
    each = torch.autograd.grad(outputs, list(weights.values()), came, allow_unused=True)
    return {name: g for name, g in zip(weights, each, strict=True) if g is not None}


def joints(
    y: torch.Tensor, x: torch.Tensor, weights: Mapping[str, torch.Tensor]
) -> dict[Node, list[str]] | None:
    """Nodes on the way from y to x, with the weights that join there.

    None where there is no such way, or a weight joins it twice.
    """
    if y.grad_fn is None:
        return None
    names = {id(w): name for name, w in weights.items()}
    way: set[Node] = set()  # from y to x
    below: dict[Node, set[str]] = {}  # the weights that nodes beside the way lead to
    at: dict[Node, list[str]] = {}
    for node in upwards(y.grad_fn):
        leaf = getattr(node, "variable", None)  # (of nodes that stand for leaves)
        children = [child for child, _ in node.next_functions if child is not None]
        if leaf is x or any(child in way for child in children):
            way.add(node)
        own = {names[id(leaf)]} if id(leaf) in names else set()
        own.update(*(below[child] for child in children if child not in way))
        below[node] = own
        if own and node in way:
            at[node] = list(own)
    several = sum(map(len, at.values())) > len(set().union(*at.values()))
    return at if y.grad_fn in way and not several else None


def upwards(top: Node) -> Iterator[Node]:
    """Every node that leads to the top one, those before it first."""
    seen, row = {top}, [(top, iter(top.next_functions))]
    while row:
        child = next((c for c, _ in row[-1][1] if c is not None and c not in seen), None)
        if child is None:
            yield row.pop()[0]
        else:
            seen.add(child)
            row.append((child, iter(child.next_functions)))
