"""The next level, and the branches of one: other starts and other masks of the same size.

    following(level)                   the smallest weights of each layer go; start as before
    following(level, scope="global")   ... the smallest of all layers, which compete
    following(level, 500)              ... start from what the dense nets held after 500 iterations
    following(level, 500, "rate")      ... go on from the trained weights, and only the schedule
                                       starts again, at iteration 500 (learning-rate rewinding)
    branch(level, "new", nets)         the same masks, new starts
    branch(level, "random", nets)      random masks of equal counts in each layer, new starts

Rewinding restores weights only: the optimizer begins anew, as in Frankle et al. 2020.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from compress.pruning.choose import best, globally
from compress.pruning.layers import refuse_broken
from compress.tickets.ladder import Rate, after, rates
from compress.tickets.level import Level, Tensors, joined
from harness.names import check
from harness.seeding import generator

WAYS = ("new", "random")
REWINDS = ("weights", "rate")
SCOPES = ("layer", "global")


def following(
    level: Level,
    step: int = 0,
    rewind: str = "weights",
    *,
    rate: Rate = 0.2,
    output: float | None = 0.1,
    scope: str = "layer",
) -> Level:
    """Return the next level: of each layer and seed, the smallest trained weights go.

    Args:
        level: Trained.
        step: Rewind to this iteration of the dense nets; 0: the start.
        rewind: "weights" to what the dense nets held then, which they must have kept; or "rate":
            only the schedule goes back, the trained weights stay.
        rate: The share of each layer that goes, or of each by its name; 0: none.
        output: The share of the last layer that goes; None: the same.
        scope: "layer"; or "global": of all weights, the share `rate` goes, wherever the smallest
            are; `output` does not count then.

    Raises:
        ValueError: a level that was not trained; an iteration that was not kept.
    """
    check("rewinding", rewind, REWINDS)
    check("scope", scope, SCOPES)
    trained = _trained(level)
    if scope == "global":
        masks = _competing(trained, level.masks, rate)
    else:
        masks = _by_layer(trained, level.masks, rate, output)
    start, how = (trained, "rate") if rewind == "rate" else (_snapshot(level, step), "same")
    how = "rewound" if step and how == "same" else how
    return Level(masks, start, level.seeds, level.number + 1, step, how, {}, level.snapshots)


def _by_layer(trained: Tensors, masks: Tensors, rate: Rate, output: float | None) -> Tensors:
    share = rates(list(masks), rate, output)
    return {n: _smaller(trained[n], mask, share[n]) for n, mask in masks.items()}


def _competing(trained: Tensors, masks: Tensors, rate: Rate) -> Tensors:
    """Return masks of what stays where all layers of a seed compete."""
    if not isinstance(rate, int | float):
        raise ValueError('scope="global" has one rate for all layers, which compete')
    rates(list(masks), rate, None)  # (which refuses what is no share)
    found = []
    for i in range(len(next(iter(masks.values())))):
        scores = {n: trained[n][i].abs().masked_fill(~m[i], -torch.inf) for n, m in masks.items()}
        count = after(sum(int(m[i].sum()) for m in masks.values()), rate)
        found.append(globally(scores, count)[0])
    return joined(found)


def _smaller(weights: torch.Tensor, masks: torch.Tensor, rate: float) -> torch.Tensor:
    count = after(int(masks[0].sum()), rate)
    scores = weights.abs().masked_fill(~masks, -torch.inf)
    return torch.stack([best(score, count) for score in scores])


def branch(level: Level, how: str, nets: Sequence[nn.Module], *, seed: int = 0) -> Level:
    """Return a control of a level, of the same count in every layer, not yet trained.

    Args:
        level: Whose masks, or whose counts, it has.
        how: "new" keeps the masks; "random" draws others.
        nets: New starts, one a seed.
        seed: Of random masks.

    Raises:
        ValueError: an unknown way; another count of nets, or nets of other shapes.
    """
    check("branch", how, WAYS)
    if len(nets) != len(level.seeds):
        raise ValueError(
            f"branch {how!r} needs a new net for each of {len(level.seeds)} seeds, got {len(nets)}"
        )
    start = joined([net.state_dict() for net in nets])
    if {n: v.shape for n, v in start.items()} != {n: v.shape for n, v in level.start.items()}:
        raise ValueError("the new nets have other weights than those of the level")
    masks = level.masks if how == "new" else _random(level, seed)
    more = dict(step=0, branch=how, weights={}, snapshots={})
    return replace(level, masks=masks, start=start, **more)


def _random(level: Level, seed: int) -> Tensors:
    found = {}
    for place, (name, mask) in enumerate(level.masks.items()):
        parts = []
        for member, each in zip(level.seeds, mask, strict=True):
            g = generator(seed, "design", place, member)
            draw = torch.rand(each.shape, generator=g, dtype=torch.float64)
            parts.append(best(draw, int(each.sum())).to(mask.device))
        found[name] = torch.stack(parts)
    return found


def _trained(level: Level) -> Tensors:
    if not level.weights:
        raise ValueError(f"level {level.number} is not trained yet: course.fit() gives it weights")
    for name in level.masks:
        refuse_broken(name, level.weights[name])
    return level.weights


def _snapshot(level: Level, step: int) -> Tensors:
    if step == 0 == level.step and level.branch != "rate":
        return level.start
    if step not in level.snapshots:
        kept = ", ".join(map(str, sorted(level.snapshots))) or "none"
        raise ValueError(
            f"iteration {step} of the dense nets was not kept (kept: {kept}): train level 0 by "
            f"Course(..., keep=({step},))"
        )
    return level.snapshots[step]
