"""The next level, and the branches of one: other starts and other masks of the same size.

    following(level)                   the smallest weights of each layer go; start as before
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

from compress.pruning.choose import best
from compress.tickets.ladder import after, rates
from compress.tickets.level import Level, Tensors, joined
from harness.names import check
from harness.seeding import generator

WAYS = ("new", "random")
REWINDS = ("weights", "rate")


def following(
    level: Level,
    step: int = 0,
    rewind: str = "weights",
    *,
    rate: float = 0.2,
    output: float | None = 0.1,
) -> Level:
    """Return the next level: of each layer and seed, the smallest trained weights go.

    Args:
        level: Trained.
        step: Rewind to this iteration of the dense nets; 0: the start.
        rewind: "weights" to what the dense nets held then, which they must have kept; or "rate":
            only the schedule goes back, the trained weights stay.
        rate: The share of each layer that goes; 0: none.
        output: The share of the last layer that goes; None: the same.

    Raises:
        ValueError: a level that was not trained; an iteration that was not kept.
    """
    check("rewinding", rewind, REWINDS)
    trained = _trained(level)
    share = rates(list(level.masks), rate, output)
    masks = {n: _smaller(trained[n], mask, share[n]) for n, mask in level.masks.items()}
    start, how = (trained, "rate") if rewind == "rate" else (_snapshot(level, step), "same")
    how = "rewound" if step and how == "same" else how
    return Level(masks, start, level.seeds, level.number + 1, step, how, {}, level.snapshots)


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
