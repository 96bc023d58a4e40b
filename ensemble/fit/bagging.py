"""Draws the samples of members with replacement: in proportion to weights, and with every class."""

import warnings
from collections.abc import Sequence

import torch

from harness.seeding import generator

DRAWS = 100  # bootstraps that are drawn until one holds every class


def drawn(w: torch.Tensor, seed: int, draw: int = 0) -> torch.Tensor:
    """Return as many samples as there are, drawn with replacement in proportion to `w`."""
    reached = w.double().cumsum(0)
    points = torch.rand(len(w), generator=generator(seed, "sample", draw), dtype=torch.float64)
    # (a point may round up to the whole sum; the last sample that has a weight then takes it)
    last = int(w.nonzero()[-1])
    return torch.searchsorted(reached, points * reached[-1], right=True).clamp_(max=last)


def bootstrap(y: torch.Tensor, w: torch.Tensor, seed: int) -> tuple[torch.Tensor, int]:
    """Return a draw that holds every class of y, and how many were thrown away before it.

    Raises:
        ValueError: a class is so rare that no draw held it.
    """
    classes = y[w > 0].unique()
    for draw in range(DRAWS):
        index = drawn(w, seed, draw)
        if len(y[index].unique()) == len(classes):
            return index, draw
    counts = {int(k): int((y == k).sum()) for k in classes}
    rare = min(counts, key=lambda k: counts[k])
    raise ValueError(
        f"none of {DRAWS} bootstraps of {len(y)} samples held all {len(classes)} classes; class "
        f"{rare} has {counts[rare]} of them: give more samples of it, or train without bootstrap"
    )


def resampled(y: torch.Tensor, w: torch.Tensor, seed: int) -> torch.Tensor:
    """Return a draw in proportion to weights that move: with every class, if one of DRAWS has.

    Boosting takes weight from a class until no draw holds it; that is then said, and no error.
    """
    classes = y[w > 0].unique()
    index = drawn(w, seed)
    for draw in range(1, DRAWS):
        if len(y[index].unique()) == len(classes):
            return index
        index = drawn(w, seed, draw)
    missing = sorted({*classes.tolist()} - {*y[index].tolist()})
    if missing:
        warnings.warn(
            f"none of {DRAWS} draws in proportion to the weights held all {len(classes)} classes: "
            f"a member learns without {missing}",
            stacklevel=4,
        )
    return index


def bootstraps(
    y: torch.Tensor, weights: torch.Tensor | None, seeds: Sequence[int]
) -> tuple[torch.Tensor, list[int]]:
    """Return a bootstrap of each member, (members, samples), and how many were thrown away.

    Args:
        y: The classes of the samples, on the CPU.
        weights: (members, samples); None: all alike.
        seeds: One per member.
    """
    rows = torch.ones(len(seeds), len(y)) if weights is None else weights
    found = [bootstrap(y, w, seed) for w, seed in zip(rows, seeds, strict=True)]
    thrown = [count for _, count in found]
    if any(thrown):
        warnings.warn(
            f"bootstraps without some class were drawn anew, {sum(thrown)} for "
            f"{sum(map(bool, thrown))} of {len(seeds)} members",
            stacklevel=4,
        )
    return torch.stack([index for index, _ in found]), thrown
