"""Which connections go and which come: pure functions in numpy, the same on every machine.

Of equal scores the lower place is taken: on real pictures many gradients are exactly 0.
"""

import numpy as np
import torch

STRIDE = 17  # one of so many scores is in the sample; of widths in use it divides none
SHARE = 8  # a sample is taken where at most one of so many is wanted
FEW = 4  # drawing beats shuffling where most places are free, and at most one of FEW is wanted


def smallest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` smallest scores, in ascending order."""
    return largest(-scores, count)


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` largest scores, in ascending order.

    Where they are few of many, a sample says which scores are too small to be among them.
    """
    if count == 0:
        return np.empty(0, np.int64)
    if len(scores) > STRIDE * 64 and SHARE * count < len(scores):
        some, passing = scores[::STRIDE].copy(), 2 * count // STRIDE
        some.partition(len(some) - 1 - passing)
        among = np.flatnonzero(scores >= some[len(some) - 1 - passing])
        if len(among) >= count:  # (all that are larger than one of the largest, and its equals)
            return among[_largest(scores[among], count)]
    return _largest(scores, count)


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    chosen = np.flatnonzero(scores >= least)
    spare = len(chosen) - count
    if spare:
        equal = np.flatnonzero(scores[chosen] == least)
        chosen = np.delete(chosen, equal[len(equal) - spare :])
    return chosen


def largest_by_row(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the places (row-major) of the largest scores of each row, counts[r] of row r."""
    width = scores.shape[1]
    rows = np.flatnonzero(counts)
    chosen = [row * width + largest(scores[row], int(counts[row])) for row in rows]
    return np.concatenate([np.empty(0, np.int64), *chosen])


def at_random(taken: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """Return some of the free places, each as likely as the others, in ascending order.

    Args:
        taken: Of each place (at least `count` are free), whether it is not.
        count: How many.
        generator: What is drawn from.
    """
    held = int(np.count_nonzero(taken))
    if count > len(taken) // FEW or held > len(taken) // 2:
        free = np.flatnonzero(~taken)
        order = torch.randperm(len(free), generator=generator)
        return np.sort(free[order[:count].numpy()])
    full, missing = taken.copy(), count
    while missing:  # (what is taken, or drawn before, is drawn anew)
        full[torch.randint(len(full), (missing,), generator=generator).numpy()] = True
        missing = held + count - int(np.count_nonzero(full))
    return np.flatnonzero(full != taken)


def at_most_by_row(
    dropped: np.ndarray, rows: np.ndarray, scores: np.ndarray, most: np.ndarray
) -> np.ndarray:
    """Return what is dropped without the largest of the rows that could not grow as many.

    Args:
        dropped: Connections, as `smallest` returns them.
        rows: The output of each connection.
        scores: Their sizes.
        most: How many each output may lose.
    """
    counts = np.bincount(rows[dropped], minlength=len(most))
    kept = [dropped[(counts <= most)[rows[dropped]]]]
    for row in np.flatnonzero(counts > most):
        own = dropped[rows[dropped] == row]
        kept.append(own[smallest(scores[own], int(most[row]))])
    return np.sort(np.concatenate(kept))
