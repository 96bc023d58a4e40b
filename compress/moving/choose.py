"""Which connections go and which come: pure functions, the same on every machine.

Of equal scores the lower place is taken: on real pictures many gradients are exactly 0.
"""

import torch


def smallest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return the places of the `count` smallest scores, in ascending order."""
    return largest(-scores, count)


def largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return the places of the `count` largest scores, in ascending order."""
    if count == 0:
        return torch.empty(0, dtype=torch.long)
    least = torch.topk(scores, count, sorted=True).values[-1]
    chosen = scores > least
    equal = (scores == least).nonzero().flatten()[: count - int(chosen.sum())]
    chosen[equal] = True
    return chosen.nonzero().flatten()


def largest_by_row(scores: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the places (row-major) of the largest scores of each row, counts[r] of row r."""
    most = int(counts.max()) if len(counts) else 0
    if most == 0:
        return torch.empty(0, dtype=torch.long)
    top = torch.topk(scores, most, dim=1, sorted=True).values
    least = top.gather(1, (counts - 1).clamp(min=0)[:, None])
    chosen, equal = scores > least, scores == least
    open_ = counts[:, None] - chosen.sum(1, keepdim=True)
    chosen |= equal & (equal.cumsum(1) <= open_)
    chosen &= (counts > 0)[:, None]
    return chosen.flatten().nonzero().flatten()


def at_random(free: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return some of the free places, each as likely as the others, in ascending order."""
    order = torch.randperm(len(free), generator=generator)
    return free[order[:count]].sort().values


def at_most_by_row(
    dropped: torch.Tensor, rows: torch.Tensor, scores: torch.Tensor, most: torch.Tensor
) -> torch.Tensor:
    """Return what is dropped without the largest of the rows that could not grow as many.

    Args:
        dropped: Connections, as `smallest` returns them.
        rows: The output of each connection.
        scores: Their sizes.
        most: How many each output may lose.
    """
    counts = torch.bincount(rows[dropped], minlength=len(most))
    kept = [dropped[(counts <= most)[rows[dropped]]]]
    for row in (counts > most).nonzero().flatten().tolist():
        own = dropped[rows[dropped] == row]
        kept.append(own[smallest(scores[own], int(most[row]))])
    return torch.cat(kept).sort().values
