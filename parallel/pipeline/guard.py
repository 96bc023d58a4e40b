"""Whether a stage's backward pass can see other weights than its forward pass; shown on a copy.

Two forward passes of the first micro-batch, each with the same noise:

    weights w      what is saved beside views of weights, and made of weights alone: A
    weights w'     B

What differs is a copy of a weight or something derived from it (weight_norm, autocast), which the
backward pass would see as it was. (parallel.pipeline.origin follows what each is made of.) Then one
backward pass by notes and one by writing into the weights' own memory: they differ where something
saves behind the hooks' back. Layers that run again in the backward pass (checkpoint) read the
module's own weights there: gradients that change with those show them.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from parallel.pipeline.origin import Origin
from parallel.pipeline.swap import State, Swap

Call = Callable[[nn.Module, State, torch.Tensor], torch.Tensor]


def casting() -> tuple[bool, bool]:
    """Whether autocast is on, for CPUs and for GPUs: what is saved changes with it."""
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def guard(module: nn.Module, call: Call, x: torch.Tensor, what: str, other: bool) -> None:
    """Try it on a copy of a stage.

    Args:
        module: The stage.
        call: Runs a module with weights on inputs.
        x: Inputs; they need a gradient where the stage hands one back (a first layer saves its
            weight for that alone).
        what: Name of the stage, for the message.
        other: Whether the backward pass sees other weights than the forward pass.

    Raises:
        ValueError: layers run again in the backward pass, where they would find the newest weights;
            or, with `other`, names the weights that it would see unchanged.
    """
    trial = _Trial(copy.deepcopy(module), call, x)
    if trial.again():
        raise ValueError(
            f"{what} runs layers again in its backward pass (checkpoint), and they would find the "
            "newest weights there, not those of the forward pass: leave checkpoint out, or take "
            "weights='recomputed', which does that by intention, or a schedule that waits"
        )
    if other and trial.wrong(list(trial.weights)):
        names = [name for name in trial.weights if trial.wrong([name])] or list(trial.weights)
        raise ValueError(
            f"{what} saves a copy of {', '.join(names)}, or something derived from it, for its "
            "backward pass (as weight_norm and autocast do): this policy needs other weights "
            "there (layers are counted within the stage). Take pipedream, spectrain_v2 or another "
            "that sees the same in both passes, or a layer that uses its weight itself (one of "
            "bibd does with backend='native')"
        )


class _Trial:
    def __init__(self, module: nn.Module, call: Call, x: torch.Tensor):
        self.module, self.call, self.x = module, call, x.detach()
        self.back = x.requires_grad
        self.weights = {n: p.detach().clone() for n, p in module.named_parameters()}
        self.moved = {n: w * 1.125 + 0.01 for n, w in self.weights.items()}
        self.buffers = {n: b.clone() for n, b in module.named_buffers()}
        self.grad: torch.Tensor | None = None

    def wrong(self, names: list[str]) -> bool:
        """Whether a backward pass would miss that these weights have changed."""
        new = {n: self.moved[n] if n in names else w for n, w in self.weights.items()}
        return self._derived(new) or not self._alike(new)

    def again(self) -> bool:
        """Whether the gradient depends on the module's own weights, which were not called on."""
        found, own = [], dict(self.module.named_parameters())
        for moved in (False, True):
            x = self.x.clone().requires_grad_(self.x.is_floating_point())
            leaves = _leaves({n: w.clone() for n, w in self.weights.items()})
            y = self._forward(Swap({}, dict), leaves, x)
            for name, p in own.items() if moved else ():
                p.data.copy_(self.moved[name])
            found.append(self._gradients(y, x, leaves))
        return not all(a is b or _same(a, b) for a, b in zip(*found, strict=True))

    def _gradients(self, y: torch.Tensor, x: torch.Tensor, leaves: State) -> tuple[Any, ...]:
        wanted = [t for t in (x, *leaves.values()) if t.requires_grad]
        if not y.requires_grad or not wanted:
            return ()
        scale = torch.linspace(-1, 1, y.numel()).to(y).view(y.shape)
        return torch.autograd.grad(y, wanted, scale, allow_unused=True)

    def _derived(self, new: State) -> bool:
        """Whether something made of weights alone is saved, and changes with them."""
        first, changed = self._saved(self.weights), self._saved(new)
        pairs = zip(first, changed, strict=False)
        return len(first) != len(changed) or not all(_same(a, b) for a, b in pairs)

    def _saved(self, weights: State) -> list[torch.Tensor]:
        """What is saved beside views of weights and has nothing of the inputs."""
        leaves, x = _leaves(weights), self.x.clone().requires_grad_(self.back)
        swap = Swap(leaves, lambda: leaves)
        swap.listening = True
        with Origin(leaves.values(), [x]) as origin:
            self._forward(swap, leaves, x)
            return [saved for saved in swap.others if origin.weights_alone(saved)]

    def _alike(self, new: State) -> bool:
        """Backward passes by notes, and by writing."""
        found = []
        for write in (False, True):
            leaves = _leaves({n: w.clone() for n, w in self.weights.items()})
            swap = Swap(leaves, lambda leaves=leaves, write=write: leaves if write else new)
            x = self.x.clone().requires_grad_(self.x.is_floating_point())
            y = self._forward(swap, leaves, x)
            if not y.requires_grad:
                return True
            for name in new if write else ():
                leaves[name].data.copy_(new[name])
            self.grad = torch.linspace(-1, 1, y.numel()).to(y).view(y.shape)
            wanted = [t for t in (x, *leaves.values()) if t.requires_grad]
            found.append(torch.autograd.grad(y, wanted, self.grad, allow_unused=True))
        return all(a is b or _same(a, b) for a, b in zip(*found, strict=True))

    def _forward(self, swap: Swap, leaves: State, x: torch.Tensor) -> torch.Tensor:
        for name, buffer in self.module.named_buffers():
            buffer.copy_(self.buffers[name])
        with torch.random.fork_rng(), swap.hooks():
            torch.manual_seed(0)
            return self.call(self.module, leaves, x.clone())  # (which it may write into)


def _leaves(weights: State) -> State:
    return {n: w.detach().requires_grad_(w.is_floating_point()) for n, w in weights.items()}


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two differ by no more than rounding (weights that moved do by an eighth)."""
    if a.shape != b.shape or a.dtype != b.dtype or not a.is_floating_point():
        return a.shape == b.shape and torch.equal(a, b)
    first, second = torch.nan_to_num(a).double(), torch.nan_to_num(b).double()
    return float((first - second).norm()) <= torch.finfo(a.dtype).eps ** 0.5 * float(second.norm())
