"""Early exits of a graph: all logits, one sample that leaves where it is sure, or a file a part.

A net is exported once with all that its exits say, and the graph is cut at what flows on:

    x -> part 0 -> logits.0, score.0, leaves.0      "if":     If(leaves.0) their logits, else part 1
               `-> on.0 -> part 1 -> logits.1 ...   "split":  part 0 | part 1 | ...

Nodes that make weights stay outside of the branches, for a runtime to do once, as it loads them.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bibd.onnx.extras import load

SAYS = "logits", "score", "leaves", "on"


class Asked(nn.Module):
    """A net that is asked for its answer."""

    def __init__(self, net: Any, thresholds: Any = None):
        super().__init__()
        self.net, self.thresholds = net, thresholds

    def forward(self, *x: torch.Tensor) -> Any:
        """Return what the net answers."""
        return self.net(*x)


class AllExits(Asked):
    """A net that is asked for the logits of all exits."""

    def forward(self, *x: torch.Tensor) -> Any:
        """Return the logits of each exit."""
        return tuple(self.net.forward_exits(*x))


class AtExits(Asked):
    """A net that is asked for all that each exit says, under these thresholds."""

    def forward(self, *x: torch.Tensor) -> Any:
        """Return logits, score, who leaves, and what flows on, exit by exit."""
        *found, last = self.net.at_exits(*x, self.thresholds)
        return (*(part for said in found for part in said), *last[:2])


KINDS = {"": Asked, "all": AllExits, "if": AtExits, "split": AtExits}


def asked(
    net: nn.Module, x: Sequence[torch.Tensor], exits: str, thresholds: Any
) -> tuple[nn.Module, list[str]]:
    """Return the module to be exported, and the names of what it answers.

    Raises:
        ValueError: a net that has no exits of this kind, or does not take such inputs.
    """
    needed = {"": "forward", "all": "forward_exits"}.get(exits, "at_exits")
    if not hasattr(net, needed):
        raise ValueError(
            f"exits={exits!r} is for a net that has {needed}(x), as harness.exits.attach gives it; "
            f"{type(net).__name__} has none"
        )
    whole = KINDS[exits](net, thresholds).eval()
    y = _answered(whole, x)
    if not exits:
        return whole, [f"y{i}" for i in range(len(y))] if isinstance(y, tuple | list) else ["y"]
    each = SAYS if needed == "at_exits" else SAYS[:1]
    return whole, [f"{each[i % len(each)]}.{i // len(each)}" for i in range(len(y))]


@torch.no_grad()
def _answered(whole: Any, x: Sequence[torch.Tensor]) -> Any:
    try:
        return whole(*x)
    except (RuntimeError, TypeError, IndexError) as error:
        shapes = ", ".join(str(tuple(part.shape[1:])) for part in x)
        raise ValueError(
            f"{type(whole.net).__name__} does not take samples of shape {shapes}: {error}; give "
            "what it takes as example= (of a command: --shape, without the batch axis)"
        ) from error


def pieces(model: Any) -> list[Any]:
    """Return a model for each part: what flows "on" from one is the "x" of the next."""
    return [_piece(model, part) for part in range(_count(model))]


def _count(model: Any) -> int:
    return sum(value.name.startswith("logits.") for value in model.graph.output)


def _piece(model: Any, part: int) -> Any:
    graph, (helper,) = model.graph, load("onnx.helper")
    known = {value.name: value for value in (*graph.input, *graph.output)}
    begin = f"on.{part - 1}" if part else graph.input[0].name
    names = {name: name.partition(".")[0] for name in known if name.endswith(f".{part}")}
    nodes = needed(graph, list(names), {begin})
    read = {name for node in nodes for name in node.input}
    values = [value for value in graph.initializer if value.name in read]
    names[begin] = "x"
    ends = [_renamed_value(known[name], new) for name, new in names.items()]
    nodes = [_renamed(node, names) for node in nodes]
    made = helper.make_graph(nodes, f"part {part}", ends[-1:], ends[:-1], values)
    return _model(model, made)


def needed(graph: Any, ends: Sequence[str], begin: set[str]) -> list[Any]:
    """Return the nodes that these values take, when those of `begin` are given, in order."""
    wanted, found = set(ends), []
    for node in reversed(graph.node):
        if wanted & set(node.output) - begin:
            found.append(node)
            wanted |= set(node.input)
    return found[::-1]


def leaving(model: Any) -> Any:
    """Return a model for one sample, in which what a sure sample does not need is never run."""
    graph, (helper,) = model.graph, load("onnx.helper")
    known = {value.name: _single(value) for value in (*graph.input, *graph.output)}
    moved = depending(graph, graph.input[0].name)
    nodes = [node for node in graph.node if not moved & set(node.output)]
    inner, ends = _branch(graph, known, moved, 0)
    x = known[graph.input[0].name]
    return _model(
        model, helper.make_graph([*nodes, *inner], "leaving", [x], ends, graph.initializer)
    )


def depending(graph: Any, name: str) -> set[str]:
    """Return the values that depend on this one; it is among them."""
    found = {name}
    for node in graph.node:
        if found & set(node.input):
            found |= set(node.output)
    return found


def _branch(graph: Any, known: Any, moved: set[str], part: int) -> tuple[list[Any], list[Any]]:
    """Return the nodes of a part and of those behind it, and the values of its answer."""
    (helper,) = load("onnx.helper")
    begin = {f"on.{part - 1}"} if part else {graph.input[0].name}
    says = [name for name in known if name.endswith(f".{part}")]
    nodes = [n for n in needed(graph, says, begin) if moved & set(n.output)]
    leaf, ends = _answer(known, part, "")
    if part + 1 == len([name for name in known if name.startswith("logits.")]):
        return [*nodes, *leaf], ends
    stays, then_ends = _answer(known, part, "sure.")
    behind, else_ends = _branch(graph, known, moved, part + 1)
    branches = {
        "then_branch": helper.make_graph(stays, f"exit {part}", [], then_ends),
        "else_branch": helper.make_graph(behind, f"behind {part}", [], else_ends),
    }
    leaves = helper.make_node("If", [f"leaves.{part}"], [e.name for e in ends], **branches)
    return [*nodes, leaves], ends


def _answer(known: Any, part: int, prefix: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes that answer at this exit, and their values: logits, exit, score."""
    helper, onnx = load("onnx.helper", "onnx")
    words = "logits", "exit", "score"
    names = [word if not part and not prefix else f"{prefix}{word} {part}" for word in words]
    number = helper.make_tensor("", onnx.TensorProto.INT64, [1], [part])
    nodes = [
        helper.make_node("Identity", [f"logits.{part}"], names[:1]),
        helper.make_node("Constant", [], names[1:2], value=number),
        helper.make_node("Identity", [f"score.{part}"], names[2:]),
    ]
    whole = helper.make_tensor_value_info(names[1], onnx.TensorProto.INT64, [1])
    logits, score = (known[f"{word}.{part}"] for word in ("logits", "score"))
    return nodes, [_renamed_value(logits, names[0]), whole, _renamed_value(score, names[2])]


def _single(value: Any) -> Any:
    """Return the description of a value with one sample in its first axis."""
    found = copy.deepcopy(value)
    first = found.type.tensor_type.shape.dim[0]
    first.ClearField("dim_param")
    first.dim_value = 1
    return found


def _renamed_value(value: Any, name: str) -> Any:
    found = copy.deepcopy(value)
    found.name = name
    return found


def _renamed(node: Any, names: dict[str, str]) -> Any:
    found = copy.deepcopy(node)
    found.input[:] = [names.get(name, name) for name in node.input]
    found.output[:] = [names.get(name, name) for name in node.output]
    return found


def _model(like: Any, graph: Any) -> Any:
    """Return a model of this graph with the versions of another."""
    (helper,) = load("onnx.helper")
    return helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
