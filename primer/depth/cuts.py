"""A training step of a plain net, cut into tasks: what each takes, and what it has to wait for.

The batch is cut into blocks, and the neurons of each layer into cuts:

    F(l, i, j)    outputs j of layer l for block i             needs all F(l - 1, i, .)
    B(l, i, j)    its gradients, of weights and of inputs      needs R(l + 1, i, j), or B(l + 1, i)
    R(l, i, j)    adds up what all cuts say of inputs j        needs all B(l, i, .)
    G(l, i, j)    adds up what all blocks say of weights j,    needs all B(l, ., j)
                  the i-th part of them

    data       blocks = workers, who have a block each: R is not needed
    model      cuts = workers, who have a cut each (horizontal): G is not needed
    pipeline   blocks are micro-batches, and workers have layers

Work is in multiply-adds, and in additions where only sums are made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from harness.cost import layers
from parallel.pipeline.actions import Table


class Task(NamedTuple):
    """One thing to do."""

    op: str
    layer: int
    block: int = 0
    cut: int = 0


class Node(NamedTuple):
    """What a task takes, and what has to be done before."""

    work: Any
    needs: tuple[Task, ...]


Graph = dict[Task, Node]  # needs come before what needs them


@dataclass(frozen=True)
class Step:
    """Of each layer: multiply-adds and numbers read of a sample, and weights; and the batch."""

    macs: tuple[int, ...]
    inputs: tuple[int, ...]
    weights: tuple[int, ...]
    batch: int


def step_of(net: nn.Sequential, batch: int) -> Step:
    """Return the step of a row of linear layers, as the cost protocol counts them."""
    first: Any = next(m for m in net if isinstance(m, nn.Linear))
    lines = [line for line in layers(net, (first.in_features,)) if line.cost.macs]
    inputs: list[Any] = [net.get_submodule(line.name).in_features for line in lines]
    costs = [line.cost for line in lines]
    macs, weights = [c.macs for c in costs], [c.nonzeros for c in costs]
    return Step(tuple(macs), tuple(inputs), tuple(weights), batch)


def graph(step: Step, blocks: int = 1, cuts: int = 1) -> Graph:
    """Return all tasks of a step; blocks divide the batch, cuts the layers."""
    found: Graph = {}
    rows, last = step.batch // blocks, len(step.macs) - 1
    each = [(i, j) for i in range(blocks) for j in range(cuts)]
    for layer, macs in enumerate(step.macs):
        for i, j in each:
            needs = [Task("F", layer - 1, i, k) for k in range(cuts)] if layer else []
            found[Task("F", layer, i, j)] = Node(rows * macs // cuts, tuple(needs))
    for layer in range(last, -1, -1):
        work = rows * step.macs[layer] // cuts * (2 if layer else 1)
        for i, j in each:
            op, at = ("F", layer) if layer == last else ("R" if cuts > 1 else "B", layer + 1)
            found[Task("B", layer, i, j)] = Node(work, (Task(op, at, i, j),))
        for i, j in each if cuts > 1 and layer else ():
            needs = tuple(Task("B", layer, i, k) for k in range(cuts))
            adds = (cuts - 1) * rows * step.inputs[layer] // cuts
            found[Task("R", layer, i, j)] = Node(adds, needs)
        for i, j in each if blocks > 1 else ():
            needs = tuple(Task("B", layer, k, j) for k in range(blocks))
            adds = (blocks - 1) * step.weights[layer] // (blocks * cuts)
            found[Task("G", layer, i, j)] = Node(adds, needs)
    return found


def rows(tasks: Graph, home: Callable[[Task], int], workers: int) -> list[list[Task]]:
    """Return what each worker does, in the order of the graph."""
    return [[task for task in tasks if home(task) == r] for r in range(workers)]


def scheduled(tasks: Graph, table: Table, layers: int) -> list[list[Task]]:
    """Return what each rank of a pipeline's table does; stages have as many layers each."""
    per = layers // table.stages
    found: list[list[Task]] = []
    for rank in table.ranks:
        found.append([])
        for stage, op, _, micro in rank:
            own = range(stage * per, (stage + 1) * per)
            if op == "U":
                found[-1] += [t for t in tasks if t.op == "G" and t.layer in own]
            else:
                turn = own if op == "F" else reversed(own)
                found[-1] += [Task(op, layer, micro) for layer in turn]
    return found
