"""Several nets out of one training: snapshots of a cosine cycle, and averages of the weights.

    nets = snapshots(net, x, y, cycles=9, epochs=2)        one training, 9 members
    net = averaged(net, x, y, epochs=10, after=5)          SWA: the mean of the weights from then on
    net = averaged(net, x, y, epochs=10, decay=0.999)      EMA: of all steps, fading

Averages are torch's AveragedModel. The statistics of batch norm belong to no member's weights but
to their average, so they are estimated anew (`update_bn`) on the training
samples; other buffers are those of the net.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from bibd.pattern import check_whole
from ensemble.checks import module
from ensemble.fit import failing
from ensemble.fit.group import Group
from ensemble.fit.samples import answerable, checked, member_seed, weighted
from ensemble.fit.task import Task, refuse_unknown

COMMON = ("seed", "sample_weight")


def snapshots(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, cycles: int, epochs: int, **rest: Any
) -> list[nn.Module]:
    """Train one net in cycles of a falling rate, and return a copy of it after each.

    Args:
        net: It learns in place.
        x: Samples, on the device of the net.
        y: Their classes, int64.
        cycles: How many copies; the rate starts anew at each, and falls to almost 0 as a cosine.
        epochs: Per cycle.
        **rest: seed, sample_weight, and batch_size, optimizer, batches, shuffle of `Task`.
    """
    check_whole("cycles", cycles, 1)
    check_whole("epochs", epochs, 1)
    refuse_unknown(rest, COMMON, without=("schedule",))

    def cosine(optimizer: torch.optim.Optimizer, steps: int) -> CosineAnnealingWarmRestarts:
        return CosineAnnealingWarmRestarts(optimizer, T_0=steps // cycles)

    group = _alone(net, x, y, cycles * epochs, schedule=cosine, **rest)
    found = []
    for epoch in range(1, cycles * epochs + 1):
        _epoch(group)
        if epoch % epochs == 0:
            found.append(copy.deepcopy(net))
    return found


def averaged(
    net: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    epochs: int,
    *,
    after: int = 0,
    decay: float | None = None,
    **rest: Any,
) -> nn.Module:
    """Train one net and return another: the average of its weights on the way.

    Args:
        net: It learns in place.
        x: Samples, on the device of the net.
        y: Their classes, int64.
        epochs: In all.
        after: Epochs that are not averaged.
        decay: None: the mean over the ends of the epochs (SWA). Between 0 and 1: after each step
            the average keeps this share of itself (EMA).
        **rest: seed, sample_weight, and batch_size, optimizer, schedule, batches of `Task`.
    """
    check_whole("epochs", epochs, 1)
    check_whole("after", after, 0)
    if after >= epochs:
        raise ValueError(f"after is at least 0 and below the {epochs} epochs, got {after}")
    refuse_unknown(rest, ("after", "decay", *COMMON))
    fading = _fading(decay)
    group = _alone(net, x, y, epochs, **rest)
    mean = AveragedModel(net, multi_avg_fn=fading)
    for epoch in range(epochs):
        if epoch == after and decay is not None:
            group.optimizer.register_step_post_hook(lambda *_: mean.update_parameters(net))
        _epoch(group)
        if epoch >= after and decay is None:
            mean.update_parameters(net)
    for stale, now in zip(mean.module.buffers(), net.buffers(), strict=True):
        stale.copy_(now)
    return _estimated(mean.module, group)


def _fading(decay: float | None) -> Any:
    """Return how torch is to average; None: evenly."""
    if decay is None:
        return None
    if not 0 < decay < 1:
        raise ValueError(f"decay is between 0 and 1, got {decay}")
    return get_ema_multi_avg_fn(decay)


def _alone(net: nn.Module, x: Any, y: Any, epochs: int, **rest: Any) -> Group:
    seed, weights = rest.pop("seed", 0), rest.pop("sample_weight", None)
    task = Task(*checked(x, y), epochs, **rest)
    if not task.batches:  # (which may make of x what the net reads)
        answerable([module(net, "net")], task.x, task.y)
    w = None if weights is None else weighted(weights, len(x))[None]
    return Group(net, [member_seed(seed, 0)], task, w)


def _epoch(group: Group) -> None:
    what = failing.broken(group.run()[:, 0], group.net, group.epoch)
    if what:
        raise ValueError(f"member 0: {what}; lower the rate of the optimizer")


def _estimated(net: nn.Module, group: Group) -> nn.Module:
    """Return the net with the statistics of its batch norms estimated on what it learned from."""
    x, sources = group.task.x, group.sources
    parts = group.cut(torch.arange(len(x), device=x.device))
    read = (sources[0].draw(part)[0] if sources else x[part] for part in parts)
    update_bn(read, net)  # pyright: ignore[reportArgumentType]
    return net
