"""Computes the identities of workers that hold slices (ZeRO)."""

import itertools
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from parallel import executors
from parallel.identities.averaging import BATCH, MOMENTUM, STEPS, Maker, apart, net, task, training
from parallel.identities.by_torch import ADAM, TITLES, as_torch, missing
from parallel.strategy import Strategy, make
from parallel.strategy.zero import Held, held
from parallel.wrap.data_parallel import DataParallel
from parallel.zero import clip

CLIP = 0.4  # less than all norms of the task's gradients


def heard(rank: int = 0) -> nn.Sequential:
    """Return the net with a listener, so that simulated workers are modules, and never a stack."""
    model = net(rank)
    model.register_forward_hook(lambda *_: None)
    return model


def as_all_reduce(maker: Maker, workers: int, batch: int) -> float:
    """Compare the weights to those of averaged gradients, with two optimizers."""
    worst = 0.0
    for optimizer in (None, ADAM):
        found = []
        for strategy in (maker(), make("all_reduce", weighted=maker().weighted)):
            one = training(strategy, workers, optimizer, batch, heard)
            for _ in range(STEPS):
                one.step()
            found.append(one.executor.consensus())
        worst = max(worst, apart(*found))
    return worst


def crowd(maker: Maker, workers: int = 64, steps: int = 2) -> float:
    """Compare the same of so many workers that some of them have no slice of the 93 weights."""
    one = task()
    data = replace(one, train_x=one.train_x.repeat(3, 1), train_y=one.train_y.repeat(3))
    found = []
    for strategy in (maker(), make("all_reduce", weighted=maker().weighted)):
        many = training(strategy, workers, ADAM, workers, net, data)
        for _ in range(steps):
            many.step()
        found.append(many.executor.consensus())
    return apart(*found)


def held_by_formula(maker: Maker) -> float:
    """Count the bytes by which what is held at rest differs from (p + g + K) numbers.

    Under zero1, whose gradients are whole until a backward is over, the most of them is compared.
    """
    wrong = 0.0
    numbers = sum(p.numel() for p in net().parameters())
    cases = ((None, 8.0), (ADAM, 16.0), (partial(torch.optim.SGD, lr=0.1), 0.0))
    for (optimizer, state), workers in itertools.product(cases, (1, 2, 3, 4)):
        strategy: Any = maker()
        found: Any = training(strategy, workers, optimizer)
        for _ in range(3):
            found.step()
        theory = asdict(held(strategy.stage, numbers, workers, Held(8.0, 8.0, state)))
        row = executors.held(found.executor)
        seen = row["held_rest"]
        if strategy.stage == 1:
            seen = seen | {"gradients": row["held_peak"]["gradients"]}
        wrong += sum(
            abs(seen[k] - theory[k]) + abs(row["held_theory"][k] - theory[k]) for k in seen
        )
    return wrong


def clipped(strategy: Strategy, own_only: bool = False) -> float:
    """Compare a loop that clips by `net.clip_grad_norm_` to one of the bare model.

    Args:
        strategy: The wrapper's style.
        own_only: Clip by the norm of the first slice alone, which is another number.
    """
    data, bare = task(), net()
    wrapped = DataParallel(strategy, model=net(), workers=3)
    for model in (bare, wrapped):
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)  # pyright: ignore
        for step in range(STEPS):
            index = (torch.arange(BATCH) + step * BATCH) % len(data.train_y)
            optimizer.zero_grad()
            F.cross_entropy(model(data.train_x[index]), data.train_y[index]).backward()
            if model is bare:
                nn.utils.clip_grad_norm_(bare.parameters(), CLIP)
            elif own_only:
                _clipped_by_own(wrapped)
            else:
                wrapped.clip_grad_norm_(CLIP)
            optimizer.step()
    return apart(wrapped.state_dict(), bare.state_dict())


def _clipped_by_own(wrapped: DataParallel) -> None:
    """Clip every slice by its own norm, as a rank would that asks nobody."""
    slices: Any = wrapped.executor.states
    for i in range(3):
        own = [p for (k, _), p in slices.pieces.items() if k == i and p.grad is not None]
        norms = [float(p.grad.norm()) for p in own if p.grad is not None]
        scale = min(1.0, CLIP / (clip.added(norms, 2.0) + 1e-6))
        for p in own:
            p.grad = None if p.grad is None else p.grad * scale


class Normalised(torch.optim.Optimizer):
    """Steps as far as a tensor's norm says: of slices it would know another one."""

    def __init__(self, params: Any, lr: float = 0.1):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore
        """Move each tensor by lr, along its gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p -= group["lr"] * p.grad / p.grad.norm()


def whole_matrices() -> float:
    """Compare such a step of a matrix to the same step of its two halves."""
    g = torch.linspace(-1, 1, 12, dtype=torch.float64)
    found = []
    for parts in ([g], list(g.split(6))):
        values = [nn.Parameter(torch.zeros_like(part)) for part in parts]
        for p, part in zip(values, parts, strict=True):
            p.grad = part.clone()
        Normalised(values).step()
        found.append(torch.cat([p.detach() for p in values]))
    return float((found[0] - found[1]).abs().max())


def refused(maker: Maker) -> float:
    """Count whole-matrix optimizers that are not refused by name."""
    try:
        training(maker(), optimizer=Normalised)
    except ValueError as error:
        return float("Normalised" not in str(error))
    return 1.0


def of_slices(maker: Maker, world: str) -> Any:
    """Yield the identities: name, class and check of each; those of torch's own in processes."""
    if world == "procs":
        yield from of_torch(maker)
    yield "two workers are all-reduce", "bitwise", lambda: as_all_reduce(maker, 2, 8)
    for workers in (3, 4):
        yield (
            f"{workers} workers are all-reduce",
            "rounding",
            lambda n=workers: as_all_reduce(maker, n, BATCH),
        )
    yield "64 workers are all-reduce", "rounding", lambda: crowd(maker)
    yield "bytes held = formula", "exact", lambda: held_by_formula(maker)
    yield "clipped by the norm of all slices", "rounding", lambda: clipped(maker())
    yield "clipped by the own slice's norm", "negative", lambda: clipped(maker(), own_only=True)
    yield "an optimizer of whole matrices is refused", "exact", lambda: refused(maker)
    yield "halves of a matrix would step elsewhere", "negative", whole_matrices


def of_torch(maker: Maker) -> Any:
    """Yield the comparisons with those of torch's classes that run here."""
    for kind, title in TITLES.items():
        if not missing(kind):
            yield f"two are torch's {title}", "bitwise", partial(as_torch, maker, kind)
    yield "three are torch's DDP", "rounding", partial(as_torch, maker, "ddp", 3)
