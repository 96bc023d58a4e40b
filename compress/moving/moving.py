"""Moves the connections of a net's dynamic layers while it trains.

    moving = Moving(net, optimizer, "rigl", steps=len(loader) * epochs)
    for x, y in batches:
        optimizer.zero_grad()
        with moving:                      # looks at dense gradients in the steps that need them
            loss(net(x), y).backward()
        moving.step()                     # an update, or every 100 steps a change instead of it

    set              drop the smallest values of each layer, grow as many at random
    rigl             ... grow where the dense gradient is largest
    rigl_fan_in      ... and each output grows as many as it lost, so that all keep their number
                     (as in SRigL, without its removal of whole outputs)

What was dropped in a change does not grow in the same one. The share that moves falls along half a
cosine from `fraction` to 0, which it reaches after `until` of the training. A layer whose
connections are kernels of a convolution goes by the sums of their absolute values.
"""

import math
import sys
from contextlib import ExitStack
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from bibd.dynamic import Dynamic, dense_gradients
from bibd.optimizer_state import held
from compress.moving.choose import (
    at_most_by_row,
    at_random,
    largest,
    largest_by_row,
    smallest,
)
from compress.pruning.layers import refuse_computed
from harness.names import check, kind_of
from harness.seeding import generator

Method = Literal["set", "rigl", "rigl_fan_in"]
METHODS = get_args(Method)


class Moving:
    """Drops and grows connections of all dynamic layers of a net.

    Args:
        net: Holds layers such as bibd.DynamicLinear.
        optimizer: Trains it; what it remembers follows the connections.
        method: set, rigl or rigl_fan_in.
        steps: How many steps the training has.
        every: A change takes the place of every so many-th update.
        until: The share of the training after which nothing moves any more.
        fraction: The share of a layer's connections that moves in the first change.
        seed: Of what grows at random.

    Raises:
        ValueError: no such layer; an optimizer that does not hold it; numbers out of range, or with
            which nothing would ever move.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        method: Method = "rigl",
        *,
        steps: int,
        every: int = 100,
        until: float = 0.75,
        fraction: float = 0.3,
        seed: int = 0,
    ):
        check("method", method, METHODS)
        _check_numbers(steps, every, until, fraction)
        self.layers: dict[str, Any] = {
            n: m for n, m in net.named_modules() if isinstance(m, Dynamic)
        }
        if not self.layers:
            raise ValueError(
                "the net has no layer whose connections may change: build it with "
                "bibd.DynamicLinear or bibd.DynamicConv2d"
            )
        _refuse_shared(self.layers)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ValueError(f"optimizer= is what trains the net, got {kind_of(optimizer)}")
        for name, layer in self.layers.items():
            refuse_computed(name or "the net", layer)
            held(optimizer, layer.weight)  # (which says at once what cannot follow)
        self.net, self.optimizer, self.method = net, optimizer, method
        self.last, self.every, self.fraction, self.seed = until * steps, every, fraction, seed
        _refuse_still(steps, every, until)
        self._asked = dict(method=method, steps=steps, every=every, until=float(until))
        self._asked |= dict(fraction=float(fraction), seed=seed)
        self.t = 0
        self._watch: ExitStack | None = None
        self._found: dict[str, torch.Tensor] = {}

    @property
    def due(self) -> bool:
        """Whether this step is a change, and no update."""
        return self.t > 0 and self.t % self.every == 0 and self.t < self.last

    @property
    def share(self) -> float:
        """The share of connections that would move now."""
        return self.fraction / 2 * (1 + math.cos(math.pi * min(1.0, self.t / self.last)))

    def __enter__(self) -> "Moving":
        self._found = {}
        if self.due and self.method != "set":
            self._watch = ExitStack()
            if "torch._dynamo" in sys.modules:  # (what is compiled sees no hooks that come after)
                self._watch.enter_context(torch.compiler.set_stance("force_eager"))
            self._found = self._watch.enter_context(dense_gradients(self.net))
        return self

    def __exit__(self, *error) -> None:
        if self._watch is not None:
            self._watch.__exit__(*error)
            self._watch = None

    def step(self) -> bool:
        """Update the weights or, where that is due, change connections; returns whether it did."""
        moved = self.due
        if moved:
            for number, name in enumerate(self.layers):
                self._move(number, name)
            self._found = {}
        else:
            self.optimizer.step()
        self.t += 1
        return moved

    @torch.no_grad()
    def _move(self, number: int, name: str) -> None:
        layer = self.layers[name]
        sizes = _sizes(layer.weight)
        if self.method == "set":
            scores = None
        elif name in self._found:
            scores = _sizes(self._found[name].reshape(-1, *layer.weight.shape[1:]))
        else:
            raise ValueError(
                f"{name or type(layer).__name__} has no dense gradient in this step: put its "
                "forward and backward pass inside `with moving:`"
            )
        draw = None if scores is not None else generator(self.seed, "design", number, self.t)
        drop, grow = change(layer.pattern, sizes, scores, self.share, self.method, draw)
        if len(drop) != len(grow):  # (comparisons with NaN choose nothing)
            raise ValueError(
                f"{name or type(layer).__name__}: weights or dense gradients are NaN, so there are "
                "no largest ones to go by; the training has diverged: lower its rate"
            )
        layer.rewire(drop, grow, self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """What goes on where it was; connections are in the net's own state."""
        return {"step": self.t, **self._asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse; of a state that has nothing but its step, the step is taken.

        Raises:
            ValueError: no such state, or that of other changes; says which.
        """
        if "step" not in state:
            raise ValueError(
                "this is no state of Moving, which has a 'step'; got "
                f"{', '.join(map(repr, state)) or 'nothing'}: take what moving.state_dict() gave"
            )
        other = {k: state[k] for k, own in self._asked.items() if state.get(k, own) != own}
        if other:
            raise ValueError(
                f"this state is of {_written(other)}, and these are changes with "
                f"{_written({k: self._asked[k] for k in other})}: make Moving as it was, or go on "
                f"otherwise from its step alone, load_state_dict({{'step': {state['step']}}})"
            )
        self.t = int(state["step"])


def change(
    pattern: Any,
    sizes: np.ndarray,
    scores: np.ndarray | None,
    share: float,
    method: str,
    draw: torch.Generator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which connections go, and at which places others come.

    Args:
        pattern: Of the layer.
        sizes: Of its values, by connection.
        scores: Of all places, by how much a new connection would help; used up. None for set.
        share: How many of the connections move.
        method: set, rigl or rigl_fan_in.
        draw: For what grows at random; of set.
    """
    possible = pattern.out_features * pattern.in_features
    count = min(int(share * pattern.nonzeros), possible - pattern.nonzeros)
    drop = smallest(sizes, count)
    if scores is None:
        assert draw is not None
        return drop, at_random(pattern.mask().reshape(-1), count, draw)
    scores[pattern.flat] = -np.inf
    if method == "rigl":
        return drop, largest(scores, count)
    drop = at_most_by_row(drop, pattern.rows, sizes, pattern.in_features - pattern.fan_in)
    lost = np.bincount(pattern.rows[drop], minlength=pattern.out_features)
    return drop, largest_by_row(scores.reshape(pattern.out_features, -1), lost)


def _refuse_shared(layers: dict[str, Any]) -> None:
    """Raise ValueError if two layers hold one weight: its values cannot follow both patterns."""
    owner: dict[int, str] = {}
    for name, layer in layers.items():
        first = owner.setdefault(id(layer._parameters.get("weight", layer)), name)
        if first != name:
            raise ValueError(
                f"{first} and {name} hold one and the same weight, and its values cannot follow "
                "the connections of both: give each its own, or call one layer twice"
            )


def _sizes(values: torch.Tensor) -> np.ndarray:
    """Return absolute values, or of kernels their sums, in memory of their own."""
    sizes = values.abs().flatten(1).sum(1) if values.ndim > 1 else values.abs()
    return (sizes if sizes.dtype == torch.float64 else sizes.float()).cpu().numpy()


def _check_numbers(steps: int, every: int, until: float, fraction: float) -> None:
    for name, value in (("steps", steps), ("every", every)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    for name, value in (("until", until), ("fraction", fraction)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value!r}")


def _refuse_still(steps: int, every: int, until: float) -> None:
    """Raise ValueError if no change falls into a training, which would move nothing."""
    last = until * steps
    if every < last:
        return
    fix = f"every={max(1, int(last / 10))}" if last > 1 else "a longer training"
    raise ValueError(
        f"nothing would ever move: steps={steps} and until={until} leave changes before step "
        f"{last:g}, and every={every} puts the first one at step {every}: take {fix}, for instance"
    )


def _written(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
