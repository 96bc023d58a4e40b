"""Holds the own slices of the workers here: parameters in pieces, and their optimizer's state.

A piece is a Parameter: a part of one of the net's (parallel.zero.layout). Up to zero2 it is a view
of it, so that a step of the piece is a step of the net. While the optimizer steps, its groups have
the pieces in place of the parameters, with all else that the groups say.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from parallel.replicas.replicas import Looped, Stacked
from parallel.zero.layout import Layout, Part, flat

Piece = tuple[int, Part]  # whose (his place among the workers here), and which


class Slices:
    """The pieces of the workers here.

    Args:
        members: Their models.
        layout: Who owns what.
        ranks: The workers here.
        apart: Whether pieces have memory of their own, as the net's is not always there.
    """

    asked = False  # whether an optimizer is asked for what is not here

    def __init__(
        self, members: Stacked | Looped, layout: Layout, ranks: list[int], apart: bool = False
    ):
        self.apart = apart
        self.moved: Callable[[], Any] | None = None  # called after a move
        self.strides = {name: members.leaves_of(name)[0].stride() for name in layout.names}
        self.members, self.layout, self.ranks = members, layout, ranks
        self.parts = [layout.own(rank) for rank in ranks]
        self.pieces: dict[Piece, nn.Parameter] = {}
        self.state: dict[Piece, dict[str, Any]] = {}
        self.groups: list[list[Any]] = []  # of the optimizer, while it steps pieces
        self.view()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self.apart:
            self.view()  # (a copy's pieces have memory of their own)

    @torch.no_grad()
    def view(self) -> None:
        """Let the pieces be views of what the models hold now (`.to()` gives them new memory)."""
        for i, parts in enumerate(self.parts):
            for part in parts:
                value = self.values(i, part.name)[part.begin : part.end]
                if (i, part) in self.pieces:
                    self.pieces[i, part].data = value
                else:
                    self.pieces[i, part] = nn.Parameter(value.clone() if self.apart else value)

    def values(self, i: int, name: str) -> torch.Tensor:
        """Return a parameter of a worker here, in a row: a view."""
        if isinstance(self.members, Stacked):
            return _row(self.members, self.members.params[name].detach(), i, name)
        return flat(self.members.named[i][name].detach())

    def gradient(self, i: int, name: str) -> torch.Tensor:
        """Return the gradient of a parameter, in the same order of numbers."""
        leaf: Any = self.leaf(i, name)
        if isinstance(self.members, Stacked):
            return _row(self.members, leaf.grad, i, name)
        if leaf.grad.stride() == leaf.stride():
            return flat(leaf.grad)
        return flat(torch.empty_like(leaf).copy_(leaf.grad))

    def leaf(self, i: int, name: str) -> nn.Parameter:
        """Return the parameter that holds this one of a worker here, maybe with all others'."""
        leaves = self.members.leaves_of(name)
        return leaves[min(i, len(leaves) - 1)]

    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.members.leaves()[0].device

    def enter(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the optimizer the pieces to step, and their state."""
        self.leave(optimizer)
        self.take(optimizer)
        held: dict[int, list[nn.Parameter]] = {id(p): [] for p in self.members.leaves()}
        for (i, part), piece in self.pieces.items():
            held[id(self.leaf(i, part.name))].append(piece)
            if (i, part) in self.state:
                optimizer.state[piece] = self.state[i, part]
        for group in optimizer.param_groups:
            self.groups.append(group["params"])
            group["params"] = [q for p in group["params"] for q in held.get(id(p), [p])]

    def leave(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the pieces back, where it has them."""
        for group, params in zip(optimizer.param_groups, self.groups, strict=False):
            group["params"] = params
        self.groups = []
        for key, piece in self.pieces.items():
            if piece in optimizer.state:
                self.state[key] = optimizer.state.pop(piece)  # pyright: ignore

    @torch.no_grad()
    def take(self, optimizer: torch.optim.Optimizer) -> None:
        """Cut states of whole parameters, which some have from the start or by a state dict."""
        found: dict[nn.Parameter, dict[str, Any]] = {}
        for i, part in self.pieces:
            leaf = self.leaf(i, part.name)
            if leaf in optimizer.state:
                state = found[leaf] = optimizer.state[leaf]
                self.state[i, part] = {k: self._cut(k, v, leaf, i, part) for k, v in state.items()}
        for leaf in found:
            del optimizer.state[leaf]

    def _cut(self, key: str, value: Any, leaf: nn.Parameter, i: int, part: Part) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if key == "step" or value.shape != leaf.shape:
            return value.clone()
        if isinstance(self.members, Stacked):
            row = _row(self.members, value, i, part.name)
        else:
            row = torch.empty(leaf.numel(), dtype=value.dtype, device=leaf.device)
            row.as_strided(leaf.shape, self.strides[part.name]).copy_(value)
        return row[part.begin : part.end].clone()

    def saved(self) -> list[tuple]:
        """Return the state of each piece here, with whose and which it is, in builtin types."""
        own = ((self.ranks[i], *part, state) for (i, part), state in self.state.items())
        return list(own)

    def restore(self, saved: list[tuple]) -> None:
        """Take back what `saved` gave."""
        here = {rank: i for i, rank in enumerate(self.ranks)}
        self.state = {(here[r], Part(*part)): dict(state) for r, *part, state in saved}

    def size(self, sends: str) -> float:
        """Return the bytes of all weights that are trained, or of their gradients."""
        return sum(n * dtype.itemsize for dtype, n in self.layout.totals.items())

    def move(self, fn: Callable[[torch.Tensor], Any]) -> None:
        """Follow the workers' own tensors to where they went."""
        for key, piece in self.pieces.items():
            piece.grad = None if piece.grad is None else fn(piece.grad)
            for name, value in self.state.get(key, {}).items():
                if isinstance(value, torch.Tensor) and value.shape == piece.shape:
                    self.state[key][name] = fn(value)
        leaves = {name: self.leaf(0, name) for name in self.layout.names}
        self.layout = Layout(leaves, self.layout.units, self.layout.workers)
        if self.apart:
            for piece in self.pieces.values():
                piece.data = fn(piece.data)
        else:
            self.view()
        if self.moved:
            self.moved()


def _row(members: Stacked, stacked: torch.Tensor, i: int, name: str) -> torch.Tensor:
    """Return what is worker i's of a tensor that holds all workers', in a row."""
    return stacked.reshape(members.shapes[name])[i].reshape(-1)
