"""One stage of a pipeline: its layers, their weights, and the micro-batches that are in flight.

    forward(t, j, x)      [1] weights by the policy   [2] the layers on them   [3] kept in flight
    backward(t, j, dy)    [4] gradients, of what the policy says               [5] summed up
    update(t)             [6] the optimizer, on the true weights

A forward pass runs on tensors of its own kind: leaves of a graph that share memory with the version
they stand for. So the true weights stay out of all graphs, and prediction never touches them. Batch
norms' running statistics live with the layers and follow the order of forward passes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from parallel.pipeline.answers import check_weights
from parallel.pipeline.guard import casting, guard
from parallel.pipeline.halves import Halves, found
from parallel.pipeline.layers import Layers, apart, in_words
from parallel.pipeline.noise import Noise
from parallel.pipeline.spike import compensate
from parallel.pipeline.swap import Swap
from parallel.pipeline.versions import State, Versions
from parallel.pipeline.weights import Policy

Key = tuple[int, int]  # minibatch and micro-batch


@dataclass(slots=True)
class Flight:
    """A micro-batch between its two passes."""

    x: torch.Tensor
    seen: State  # the version of the forward pass
    y: torch.Tensor | None = None  # output; of the last stage: its loss
    leaves: Mapping[str, torch.Tensor] = field(default_factory=dict)
    back: State | None = None  # what the backward pass sees, from its beginning
    dy: torch.Tensor | None = None  # between the halves of a split backward pass
    halves: Halves | None = None  # of its backward pass, where that is split
    target: torch.Tensor | None = None
    share: float = 1.0  # of the micro-batch in its minibatch

    @property
    def scale(self) -> torch.Tensor:
        """The gradient of its output; of the last stage its share in the minibatch's loss."""
        assert self.y is not None
        return torch.full_like(self.y, self.share) if self.dy is None else self.dy

    def graph(self) -> torch.Tensor:
        """Its output, from which the backward pass goes."""
        assert self.y is not None
        return self.y


class Stage:
    """Layers [a, b) of a net.

    Args:
        module: The layers.
        weights: Their true weights, by the names that they have in the module.
        policy: With which weights it works.
        noise: Where its dropout comes from.
        late: Whether the two passes of a micro-batch may see different weights.
        loss: Of the last stage: of outputs and targets, a mean over the samples.
    """

    def __init__(
        self,
        module: nn.Module,
        weights: Versions,
        policy: Policy,
        noise: Noise,
        late: bool,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    ):
        self.module, self.weights, self.policy = module, weights, policy
        self.noise, self.loss = noise, loss
        self.late = late
        self.flights: dict[Key, Flight] = {}
        self.sums: dict[str, torch.Tensor] = {}  # of gradients since the last update
        self.losses: dict[int, list[tuple[torch.Tensor, float]]] = {}  # of minibatches, with shares
        ahead = any(policy.reach(weights.stage, weights.stages))
        # under which autocast the guard has looked; True: there is nothing to look at
        self.tried: Any = policy.recompute or not (late or ahead) or None
        self.resumable = False
        self.layers = Layers(module, f"stage {weights.stage}")

    @cached_property
    def plain(self) -> bool:
        """Whether every pass takes the newest weights: asked once, as it is asked for each pass."""
        return newest(self.policy)

    @property
    def name(self) -> str:
        """For messages."""
        return self.layers.name

    def forward(self, key: Key, x: torch.Tensor, share: float = 1.0, target: Any = None):
        """The output of a micro-batch; of the last stage its loss."""
        seen = self.policy.forward(self.weights, key[0])  # [1]
        if self.tried is not True and self.tried != casting():
            given = x.detach().requires_grad_(bool(x.is_floating_point() and self.weights.stage))
            with in_words(self.name, x):
                guard(self.module, apart, given, self.name, self.late and self.policy.swaps)
            self.tried = casting()
        flight = Flight(x, seen, target=target, share=share)
        with torch.set_grad_enabled(not self.policy.recompute):
            y = self.run(key, flight).detach()
        self.flights[key] = flight  # [3]
        if self.loss is not None:
            self.losses.setdefault(key[0], []).append((y, share))
        return y

    def run(self, key: Key, flight: Flight) -> torch.Tensor:
        """The graph of a forward pass."""
        flight.x = x = flight.x.detach()
        if x.is_floating_point() and self.weights.stage:
            x.requires_grad_()
        swaps = self.late and self.policy.swaps and not self.policy.recompute
        if self.late or flight.seen is not self.weights.newest:
            flight.leaves = leaves(flight.seen, self.weights.params)
        else:
            flight.leaves = self.weights.params  # (no update comes before the backward pass)
        if self.policy.recompute:
            flight.seen = {}
        with self.noise(self.module, key):
            if swaps and not self.shares:
                swap = Swap(flight.leaves, lambda: flight.back)  # pyright: ignore
                with swap.hooks():
                    flight.y = y = self._call(flight)
                if not self.resumable:
                    free(flight, self.weights)
            else:
                flight.y = y = self._call(flight)
                if swaps:
                    flight.seen = {}  # (no version is kept for it)
        return y

    @property
    def shares(self) -> bool:
        """Whether graphs lie on the memory of the true weights, and so see them as they are.

        This is so where both passes see the newest ones, which nothing puts elsewhere.
        """
        return self.plain and not (self.resumable or self.weights.older.maxlen)

    def _call(self, flight: Flight) -> torch.Tensor:
        y = self.layers(flight.leaves, flight.x)  # [2]
        if self.loss is None:
            return y
        assert flight.target is not None
        try:
            return self.loss(y, flight.target)
        except IndexError as error:  # (of a class that the net has no output for)
            raise ValueError(
                f"{self.name}: the loss of outputs {tuple(y.shape)} and targets up to "
                f"{flight.target.max()}: {error} A net needs an output for each class, from 0 on"
            ) from None

    def backward(self, key: Key, dy: torch.Tensor | None) -> torch.Tensor | None:
        """The gradient of the inputs; those of the weights are added up."""
        flight = self._meet(key, dy)
        wanted = learned(flight)
        if flight.x.requires_grad:
            wanted[""] = flight.x
        gradients = self._grad(flight, wanted)
        dx = gradients.pop("", None)
        self._add(gradients)
        del self.flights[key]
        return torch.zeros_like(flight.x) if dx is None and "" in wanted else dx

    def backward_inputs(self, key: Key, dy: torch.Tensor | None) -> torch.Tensor | None:
        """The first half of a backward pass."""
        flight = self._meet(key, dy)
        if not flight.x.requires_grad:
            return None
        y = flight.graph()
        if not y.requires_grad:
            return torch.zeros_like(flight.x)
        flight.halves = halves = Halves(y, flight.x, learned(flight), self.layers.several)
        self.layers.several = len(halves.joints or ()) > 1
        dx = halves.inputs(flight.scale)
        return torch.zeros_like(flight.x) if dx is None else dx

    def backward_weights(self, key: Key) -> None:
        """The second half."""
        flight = self.flights.pop(key)
        if flight.halves:
            self._add(flight.halves.gradients(flight.scale))
        else:  # (of the first stage it is the whole)
            self._add(self._grad(flight, learned(flight)))

    def _meet(self, key: Key, dy: torch.Tensor | None) -> Flight:
        """The micro-batch, and the weights that its backward pass sees."""
        flight = self.flights[key]
        if self.late:  # (else it comes at the same moment, and sees the same)
            flight.back = self.policy.backward(self.weights, key[0])
            if self.policy.swaps and flight.back is not self.weights.newest:
                check_weights(self.policy, key[0], flight.back, self.weights.params)
        flight.dy = dy
        if self.policy.recompute:
            flight.seen = self.weights.newest
            with self.noise.again(self.module):
                self.run(key, flight)
        return flight

    def _grad(self, flight: Flight, wanted: Mapping[str, torch.Tensor]) -> State:
        y = flight.graph()  # [4]
        if not wanted or not y.requires_grad:
            return {}
        return found([y], [flight.scale], wanted)

    def _add(self, gradients: State) -> None:
        if not self.sums:
            self.sums = gradients  # [5]
            return
        for name, gradient in gradients.items():
            self.sums[name] = self.sums[name] + gradient if name in self.sums else gradient

    def update(self, t: int) -> None:
        """Step t of the optimizer, on gradients of everything since the one before."""
        weights, sums = self.weights, self.sums
        for name, p in weights.params.items():
            p.grad = sums.get(name)
        if weights.optimizer:
            held = any(f.seen is weights.newest for f in self.flights.values())
            rate = self.policy.rate(weights, t)
            weights.before(held or rate != 1 or self.policy.spike)
            weights.optimizer.step()  # [6]
            if self.policy.spike or rate != 1:
                compensate(weights, self.policy.spike, rate)
        torch.clear_autocast_cache()  # (it knows a weight by its object, which is the same still)
        weights.after(in_place=self.late and self.shares)
        self.policy.applied(weights)
        for p in weights.params.values():
            p.grad = None  # (its memory is used next, while it is in the cache)
        self.sums = {}


def newest(policy: Policy) -> bool:
    """Whether both passes see the newest weights, and updates are the optimizer's own."""
    kind, plain = type(policy), ("forward", "backward", "rate")
    return (
        policy.swaps
        and not (policy.recompute or policy.spike)
        and all(getattr(kind, name) is getattr(Policy, name) for name in plain)
    )


def learned(flight: Flight) -> State:
    """The weights that are not frozen."""
    return {n: w for n, w in flight.leaves.items() if w.requires_grad}


def leaves(seen: State, params: Mapping[str, torch.Tensor]) -> State:
    """A version as what a graph begins with; frozen weights stay so."""
    return {n: w.detach().requires_grad_(params[n].requires_grad) for n, w in seen.items()}


def free(flight: Flight, weights: Versions) -> None:
    """Let go of what was predicted: it is noted down, and no longer needed."""
    held = {w.data_ptr() for one in weights.at_hand() for w in one.values()}
    for leaf in flight.leaves.values():
        if leaf.data_ptr() not in held:  # (what knows no direction yet is its own prediction)
            leaf.untyped_storage().resize_(0)
    flight.seen = {}
