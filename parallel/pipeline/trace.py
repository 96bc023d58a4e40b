"""Pieces of a net: those that it has, or by torch.fx, cut where one tensor alone is alive.

x ──► conv ──► relu ─┬─► conv ──► + ──► relu ──► ...
|        | └───────────►│   |
cut      cut      no cut    cut
"""

import copy

import torch
from torch import fx, nn
from torch.fx.passes.split_module import split_module

from parallel.pipeline.layers import in_words


def pieces(model: nn.Module, x: torch.Tensor) -> list[nn.Module]:
    """What a net can be cut between.

    Args:
        model: The net, in the mode in which it will be trained.
        x: A few inputs, to show that the pieces are the net.

    Raises:
        ValueError: it cannot be cut.
    """
    if isinstance(model, nn.Sequential) and is_row(model):
        return list(model)
    own = getattr(model, "stages", None)
    if isinstance(own, nn.Sequential) and same(model, list(own), x):
        return list(own)
    found = segments(model)
    if not same(model, found, x):
        raise ValueError(
            f"{type(model).__name__}: its traced pieces give other numbers than the net; give it "
            "`stages`, an nn.Sequential whose parts in a row are its forward pass"
        )
    return found


def is_row(model: nn.Module) -> bool:
    """Whether a net is a Sequential, without a forward pass of its own."""
    return isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward


@torch.no_grad()
def same(model: nn.Module, row: list[nn.Module], x: torch.Tensor) -> bool:
    """Whether pieces in a row are the net, bit for bit, with the same noise; tried on copies."""
    whole, parts = copy.deepcopy((model, row))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with in_words(type(model).__name__, x):
            expected = whole(x.clone())
        if not isinstance(expected, torch.Tensor):
            raise ValueError(
                f"{type(model).__name__} gives a {type(expected).__name__}, expected one tensor: "
                "let its forward pass give what the loss takes"
            )
        whole, parts = copy.deepcopy((model, row))
        torch.manual_seed(0)
        try:
            for piece in parts:
                x = piece(x.clone() if isinstance(x, torch.Tensor) else x)
        except Exception:  # (they are not made to stand in a row)
            return False
    return isinstance(x, torch.Tensor) and torch.equal(x, expected)


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
        names = sorted(set(free))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ValueError(
            f"{type(model).__name__} reads {', '.join(names[:3])}{more} outside of a layer: put it "
            "into a module of its own, next to what uses it, or give the net `stages`, an "
            "nn.Sequential whose parts in a row are its forward pass"
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
