"""Sparse layers whose connections may change while they train.

    layer = DynamicLinear(784, 300, "random", nonzeros=11760)
    with dense_gradients(layer) as found:                 # where would a new connection help?
        loss(layer(x), y).backward()
    layer.rewire(drop, grow, optimizer)                   # survivors keep values and momentum

`drop` names connections by their place in `weight`, `grow` by their place in the row-major dense
weight; a new one starts at 0, and so does all that the optimizer remembers of it (the step of Rprop
begins at the rate). The kernels get a new table; label and certificate wait until somebody asks. A
checkpoint brings its table along, and loading it gives the layer these connections.
`compress.Moving` decides what to drop and grow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bibd.conv import SparseConv2d
from bibd.linear import SparseLinear
from bibd.moved import moved
from bibd.optimizer_state import carried, carry, held, rate_of
from bibd.pattern import Pattern
from bibd.state import Patterned
from bibd.table_text import read, written

Places = Sequence[int] | np.ndarray | torch.Tensor


class Dynamic(Patterned):
    """What a sparse layer needs so that its pattern may change."""

    @torch.no_grad()
    def rewire(
        self, drop: Places, grow: Places, optimizer: torch.optim.Optimizer | None
    ) -> Pattern:
        """Drop connections and grow others; returns the new pattern.

        Args:
            drop: Connections, by their place in `weight`.
            grow: Places in the row-major (outputs, inputs) weight; what is dropped in the same
                call may be among them, and starts at 0 then.
            optimizer: What trains this layer, whose memory of the values follows them; None only
                where nothing remembers anything of them.

        Raises:
            ValueError: places that are not there or taken; an optimizer whose memory cannot
                follow; says which. Nothing is changed then.
        """
        weight = self._parameters.get("weight")
        if weight is None:
            raise ValueError(
                f"{self._title()}: its weight is parametrized; remove_parametrizations first"
            )
        pattern, source = moved(self.pattern, _numbers(drop), _numbers(grow))
        state, places = held(optimizer, weight), torch.from_numpy(source).to(weight.device)
        carry(state, weight, places, rate_of(optimizer, weight))
        replace(weight, carried(weight, places))
        self._take(pattern)
        return pattern

    def _take(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._drawn = None  # (who changes connections has left the start behind)
        self._fill()

    def dense_gradient(self, x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        """Return what the gradient of the dense weight would be, from an input and its output's."""
        raise NotImplementedError

    def get_extra_state(self) -> torch.Tensor:
        """Return what every sparse layer tells of its pattern, and the table itself."""
        return with_table(super().get_extra_state(), self.pattern)

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        try:
            self._follow(state_dict, prefix)
        except ValueError as error:
            rest[-1].append(f"{prefix}_extra_state: {error}")
            return
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _follow(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Take the connections that a checkpoint brings, so that its values fit."""
        saved, values = (state_dict.get(prefix + name) for name in ("_extra_state", "weight"))
        if not isinstance(saved, torch.Tensor) or not isinstance(values, torch.Tensor):
            return
        told, table = bytes(saved.to("cpu", torch.uint8).tolist()), text_of_table(saved)
        digest = told.partition(b"\n")[0].split(b" ")[0].decode(errors="replace")
        if not table or digest == self.pattern.digest():
            return
        pattern = read(table.decode(errors="replace"), self.pattern, len(values))
        if pattern.digest() != digest:
            raise ValueError(
                f"its table of connections does not have the digest {digest[:12]} that stands "
                "beside it: the file is damaged, or of a layer of another size"
            )
        weight = self.weight
        replace(weight, weight.new_empty(len(values), *weight.shape[1:]))
        self._take(pattern)


class DynamicLinear(Dynamic, SparseLinear):
    """A SparseLinear whose connections may change: `layer.rewire(drop, grow, optimizer)`."""

    def dense_gradient(self, x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        """Return the gradient (out, in) of the dense weight."""
        return grad.reshape(-1, self.out_features).T @ x.reshape(-1, self.in_features)


class DynamicConv2d(Dynamic, SparseConv2d):
    """A SparseConv2d whose connections between channels may change."""

    def dense_gradient(self, x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        """Return the gradient (out, in/groups, kh, kw) of the dense weight."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._sides(), mode=self.padding_mode), 0
        how = self.stride, padding, self.dilation, self.groups
        with torch.enable_grad():
            weight = x.new_zeros(self.shape, requires_grad=True)
            y = F.conv2d(x, weight, None, *how)
        return torch.autograd.grad(y, weight, grad)[0]


def with_table(told: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Return what a checkpoint tells of a pattern, as bytes, with the whole table behind it."""
    table = f"\n{written(pattern)}".encode()
    return torch.cat([told, torch.frombuffer(bytearray(table), dtype=torch.uint8)])


def text_of_table(told: torch.Tensor) -> bytes:
    """Return the table that a checkpoint tells; empty where it tells the name of a pattern only."""
    return bytes(told.to("cpu", torch.uint8).tolist()).partition(b"\n")[2]


@contextmanager
def dense_gradients(net: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Collect, of each dynamic layer by name, the gradient that its dense weight would have.

    Gradients of several backward passes, and of several calls of a layer, are summed, as .grad is.
    """
    found: dict[str, torch.Tensor] = {}

    def add(name: str, layer: Dynamic, x: torch.Tensor, grad: torch.Tensor) -> None:
        with torch.no_grad():
            one = layer.dense_gradient(x, grad)
            found[name] = found[name] + one if name in found else one

    def watch(name: str):
        def hook(layer, inputs, output):
            if output.requires_grad:
                x = inputs[0].detach()
                output.register_hook(lambda grad: add(name, layer, x, grad.detach()))

        return hook

    layers = [(name, m) for name, m in net.named_modules() if isinstance(m, Dynamic)]
    hooks = [m.register_forward_hook(watch(name)) for name, m in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _numbers(places: Places) -> np.ndarray:
    if isinstance(places, torch.Tensor):
        return places.detach().cpu().numpy()
    return np.asarray(places if len(places) else np.empty(0, np.int64))


@torch.no_grad()
def replace(parameter: torch.Tensor, values: torch.Tensor) -> None:
    """Give a parameter other values, of another count if need be; it stays the same object."""
    parameter.grad = None
    if parameter.shape == values.shape:
        parameter.copy_(values)
        return
    # (The graph of a loss that somebody still holds has a node that adds up gradients of the old
    # count, and the next backward pass would be given it: torch makes another for another type.)
    other = torch.float32 if values.dtype == torch.float64 else torch.float64
    parameter.data = values.new_empty(0, dtype=other)
    parameter.data = values
