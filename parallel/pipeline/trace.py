"""Pieces of a net that is no row of layers: cut by torch.fx where one tensor alone is alive.

x ──► conv ──► relu ─┬─► conv ──► + ──► relu ──► ...
|        | └───────────►│   |
cut      cut      no cut    cut
"""

import torch
from torch import fx, nn
from torch.fx.passes.split_module import split_module


def segments(model: nn.Module) -> list[nn.Module]:
    """The pieces between all places where the net may be cut; they share its layers.

    Raises:
        ValueError: torch.fx cannot follow the net, or it has free parameters.
    """
    try:
        graph = fx.symbolic_trace(model)
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} cannot be traced ({type(error).__name__}: {error}): give it "
            "`stages`, an nn.Sequential whose parts in a row are its forward pass"
        ) from None
    free = [str(node.target) for node in graph.graph.nodes if node.op == "get_attr"]
    if free:
        raise ValueError(
            f"{type(model).__name__} reads {', '.join(sorted(set(free)))} outside of a layer: put "
            "it into a module of its own, next to what uses it"
        )
    number = _numbers(graph)
    parts = split_module(graph, model, lambda node: number[node])
    return [m for _, m in parts.named_children()]


def _numbers(graph: fx.GraphModule) -> dict[fx.Node, int]:
    """Of the piece that each operation belongs to."""
    nodes = list(graph.graph.nodes)
    place = {node: i for i, node in enumerate(nodes)}
    last = {node: max((place[u] for u in node.users), default=-1) for node in nodes}
    found, piece = {}, 0
    alive: set[fx.Node] = set()
    for i, node in enumerate(nodes):
        if node.op == "output":
            break
        found[node] = piece
        alive.add(node)
        alive = {other for other in alive if last[other] > i}
        if len(alive) == 1 and node in alive and node.op != "placeholder":
            piece += 1
    return found


def inplace(module: nn.Module) -> list[str]:
    """Names of layers that write into their input."""
    return [name for name, m in module.named_modules() if getattr(m, "inplace", False)]


def first_writes(module: nn.Module, x: torch.Tensor) -> bool:
    """Whether a stage writes into what it is given."""
    given = x.detach().clone()
    with torch.no_grad(), torch.random.fork_rng():
        module(given)
    return not torch.equal(given, x)
