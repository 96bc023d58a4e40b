"""Keeps a net masked while any torch optimizer trains it.

    masked = Masked(net, masks, optimizer)
    for x, y in batches:                          as ever: zero_grad, backward, step
        ...
    masked.tighten(compress.prune(net, 0.05, within=masked.masks))

What is masked out is zero after every step, and no gradient, momentum or decay remembers it:

    gradients      are masked as they arrive, before they are clipped or summed over workers, so
                   that norms and factored moments are those of the weights that there are
    before a step  gradients that came another way (assigned by hand) are masked too
    after a step   weights are set to zero, whatever the optimizer did (Muon turns whole matrices)
    state          tensors of a weight's shape (momentum, moments) are masked when the optimizer is
                   attached, when masks are tightened, and when a state is loaded

A copy or a pickle of the net, also by torch.save, is a plain net: Masked(copy, masked.masks) holds
the masks there too.

LBFGS works by the masked gradients: its directions are sums of masked ones. What it remembers of
steps under wider masks does not fit tighter ones, so that memory is dropped when they change.
SparseAdam is refused: it wants sparse gradients, and no Linear or Conv2d gives one.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from compress.pruning.masks import Masks, parameters
from harness.names import kind_of


class Masked:
    """Masks that hold; `masks`, `attach`, `tighten`, `apply`, `state_dict`, `detach`.

    They hold in this net alone. copy.deepcopy(net) trains without masks, in silence, until it has
    some of its own: Masked(copied, masked.masks, its_optimizer).

    Args:
        net: Its masked weights are set to zero now, and again when a state is loaded into it.
        masks: As compress.prune makes them: the name of a parameter, and booleans.
        optimizer: To attach; others can be attached later.

    Raises:
        ValueError: masks that do not fit the net; an optimizer that has none of its weights.
    """

    def __init__(
        self,
        net: nn.Module,
        masks: Mapping[str, torch.Tensor],
        optimizer: torch.optim.Optimizer | None = None,
    ):
        self._weights = parameters(net, masks)
        self._alive: dict[nn.Parameter, torch.Tensor] = {}
        self._optimizers: list[torch.optim.Optimizer] = []
        self._handles: list[Any] = []
        self._set(masks)
        for p in self._weights.values():
            if p.requires_grad:
                self._handles.append(p.register_hook(self._arriving(p)))
        self._handles.append(net.register_load_state_dict_post_hook(_Apply(self)))
        if optimizer is not None:
            self.attach(optimizer)

    def _set(self, masks: Mapping[str, torch.Tensor]) -> None:
        notes = masks.notes if isinstance(masks, Masks) else ()
        self.masks = Masks({n: masks[n].clone() for n in self._weights}, notes)
        # (Ones and zeros: a product takes a tenth of the time of masked_fill.)
        self._alive = {p: self.masks[n].to(p) for n, p in self._weights.items()}
        self.apply()

    def _arriving(self, p: nn.Parameter):
        return lambda gradient: gradient * self._in(p)

    def _in(self, p: nn.Parameter) -> torch.Tensor:
        """Return 1 where a weight stays and 0 where not, as the weight is now (moved, cast)."""
        if self._alive[p].device != p.device or self._alive[p].dtype != p.dtype:
            self._alive[p] = self._alive[p].to(p)
        return self._alive[p]

    def attach(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Keep the masks through this optimizer's steps; returns it.

        Raises:
            ValueError: no torch optimizer, SparseAdam, or one that has none of the masked weights.
        """
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ValueError(f"expected a torch.optim.Optimizer, got {kind_of(optimizer)}")
        if isinstance(optimizer, torch.optim.SparseAdam):
            raise ValueError(
                "SparseAdam takes sparse gradients, which no Linear or Conv2d gives: take "
                "torch.optim.Adam, whose moments stay zero where the masks are"
            )
        held = {p for group in optimizer.param_groups for p in group["params"]}
        if not held & self._alive.keys():
            raise ValueError(
                "this optimizer has none of the masked weights: make it of net.parameters() of "
                "the very net that is masked"
            )
        self._optimizers.append(optimizer)
        self._handles += [
            optimizer.register_step_pre_hook(lambda *_: self._before()),
            optimizer.register_step_post_hook(lambda *_: self.apply()),
            optimizer.register_load_state_dict_post_hook(self._forget),
        ]
        self._forget(optimizer)
        return optimizer

    @torch.no_grad()
    def _before(self) -> None:
        for p in self._alive:
            if p.grad is not None:
                _zero(p.grad, self._in(p))

    def apply(self) -> None:
        """Set the weights that are masked out to zero."""
        with torch.no_grad():
            for p in self._alive:
                _zero(p, self._in(p))

    @torch.no_grad()
    def _forget(self, optimizer: torch.optim.Optimizer) -> None:
        """Mask what an optimizer remembers of weights that are out."""
        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.state.clear()  # (curvature of other masks; it begins anew)
            return
        for p in self._alive:
            for value in optimizer.state.get(p, {}).values():
                if isinstance(value, torch.Tensor) and value.shape == p.shape and p.ndim:
                    _zero(value, self._in(p))

    def tighten(self, masks: Mapping[str, torch.Tensor]) -> None:
        """Take masks that leave out more.

        Raises:
            ValueError: other weights, other shapes, or a weight that was out and would be in.
        """
        self._fit(masks)
        for name, mask in masks.items():
            back = int((mask & ~self.masks[name].to(mask.device)).sum())
            if back:
                raise ValueError(
                    f"{name}: {back} weights that are out would come back; make the masks with "
                    "prune(..., within=masked.masks), or begin anew: masked.detach(), Masked(...)"
                )
        self._set(masks)
        for optimizer in self._optimizers:
            self._forget(optimizer)

    def _fit(self, masks: Mapping[str, torch.Tensor]) -> None:
        if masks.keys() != self._weights.keys():
            raise ValueError(
                f"masks of {', '.join(masks) or 'nothing'}; expected of {', '.join(self._weights)}"
            )
        for name, mask in masks.items():
            if mask.shape != self._weights[name].shape:
                raise ValueError(
                    f"the mask of {name} has shape {tuple(mask.shape)}, the weight "
                    f"{tuple(self._weights[name].shape)}"
                )

    @property
    def bytes(self) -> int:
        """What the masks take: booleans, and the factors that hold weights at zero."""
        return sum(t.nbytes for t in (*self.masks.values(), *self._alive.values()))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the masks, to be kept beside the states of net and optimizer."""
        return {name: mask.clone() for name, mask in self.masks.items()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take these masks, wider or tighter."""
        self._fit(state)
        self._set(state)
        for optimizer in self._optimizers:
            self._forget(optimizer)

    def detach(self) -> None:
        """Let go of net and optimizers; what is zero may grow again."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._optimizers = [], []


class _Apply:
    """Applies masks after a state was loaded; in a copy of the net it does nothing."""

    def __init__(self, masked: Masked | None = None):
        self.masked = masked

    def __call__(self, *_: Any) -> None:
        if self.masked is not None:
            self.masked.apply()

    def __reduce__(self) -> Any:
        return _Apply, ()


def _zero(values: torch.Tensor, kept: torch.Tensor) -> None:
    """Set values to zero where `kept` is zero, also what is no number there.

    On a CPU a product takes a tenth of the time of masked_fill, and one sum tells whether it did.
    """
    if values.device.type == "cpu":
        values.mul_(kept)
        if math.isfinite(float(values.sum())):
            return
    values.masked_fill_(kept == 0, 0)
