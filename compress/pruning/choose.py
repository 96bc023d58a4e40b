"""Chooses the weights that stay, from a score for each: the highest, ties to the earlier place.

by_layer    each layer keeps its own count
by_row      each output of a layer keeps its share of the layer's count (Wanda)
globally    all compete; a layer that would be left with none keeps its best one
"""

from collections.abc import Mapping

import torch

Scores = Mapping[str, torch.Tensor]


def by_layer(scores: Scores, counts: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Return masks of the `counts` highest scores of each layer."""
    return {name: best(score, counts[name]) for name, score in scores.items()}


def by_row(scores: Scores, counts: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Return masks in which the outputs of a layer keep equally many; the first ones one more."""
    return {name: _rows(score, counts[name]) for name, score in scores.items()}


def globally(scores: Scores, count: int) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return masks of the highest scores of all, and the layers that keep one weight by grace.

    Those count too: where there are fewer than layers, there are as many as layers.
    """
    names = list(scores)
    device = scores[names[0]].device  # (a net may lie on several)
    flat = torch.cat([scores[name].flatten().to(device) for name in names])
    sizes = [scores[name].numel() for name in names]
    firsts = torch.stack([part.argmax() + start for part, start in _parts(flat, sizes)])
    order = flat.argsort(descending=True, stable=True)
    saved = [n for n, k in zip(names, (order[:count, None] == firsts).any(0), strict=True) if not k]
    rest = order[~torch.isin(order, firsts)]
    kept = torch.cat([firsts, rest[: max(0, count - len(names))]])
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[kept] = True
    parts = zip(scores.items(), mask.split(sizes), strict=True)
    return {name: part.view_as(s).to(s.device) for (name, s), part in parts}, saved


def best(score: torch.Tensor, count: int) -> torch.Tensor:
    """Return a mask of the `count` highest scores; of equal ones the earlier."""
    order = score.flatten().argsort(descending=True, stable=True)
    mask = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    mask[order[:count]] = True
    return mask.view_as(score)


def _parts(flat: torch.Tensor, sizes: list[int]):
    start = 0
    for part in flat.split(sizes):
        yield part, start
        start += len(part)


def _rows(score: torch.Tensor, count: int) -> torch.Tensor:
    table = score.flatten(1)
    each, more = divmod(count, len(table))
    ranks = table.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    kept = each + (torch.arange(len(table), device=score.device) < more).long()
    return (ranks < kept[:, None]).view_as(score)
