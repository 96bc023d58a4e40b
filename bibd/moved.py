"""The pattern that is left when connections are dropped and others grow; in plain numpy.

values of the old pattern     a b c d e         source = [1, 2, -1, 4]
drop 0 and 3, grow one        . b c . e         new value r is the old one source[r],
values of the new pattern     b c 0 e           and 0 where that is -1
"""

import numpy as np

from bibd.pattern import Pattern

FAMILY = "moved"


def moved(pattern: Pattern, drop: np.ndarray, grow: np.ndarray) -> tuple[Pattern, np.ndarray]:
    """Return the pattern without some connections and with others, and where its values come from.

    Args:
        pattern: The old one.
        drop: Which of its connections, by their place among its values.
        grow: Places in the row-major (outputs, inputs) weight, where no connection stays.

    Returns:
        The new pattern, and for each of its connections the old one's number, -1 for a new one.

    Raises:
        ValueError: a place that is not there, that comes twice, or that is taken.
    """
    size, flat = pattern.out_features * pattern.in_features, pattern.flat
    drop = _distinct("drop", drop, pattern.nonzeros, "connections of the layer")
    grow = _distinct("grow", grow, size, "places (output * inputs + input) of its weight")
    stays = np.ones(pattern.nonzeros, bool)
    stays[drop] = False
    kept = flat[stays]
    taken = np.zeros(size, bool)
    taken[kept] = True
    if taken[grow].any():
        at = int(grow[taken[grow]][0])
        row, column = divmod(at, pattern.in_features)
        raise ValueError(
            f"grow: output {row} is connected to input {column} already (place {at}); name places "
            "where pattern.mask() is False, or drop that connection in the same call"
        )
    places = np.concatenate([kept, grow])
    source = np.concatenate([np.flatnonzero(stays), np.full(len(grow), -1)])
    order = np.argsort(places, kind="stable")  # (two runs in order, which it merges)
    return of_places(places[order], pattern), source[order]


def of_places(places: np.ndarray, like: Pattern) -> Pattern:
    """Return the pattern of a layer of that size with these places, in ascending order."""
    sizes = like.in_features, like.out_features
    begins = np.arange(like.out_features + 1) * like.in_features
    indptr = np.searchsorted(places, begins)
    columns = places - np.repeat(begins[:-1], np.diff(indptr))
    return Pattern(FAMILY, *sizes, indptr, columns, None, like.groups)


def _distinct(name: str, given: np.ndarray, below: int, of: str) -> np.ndarray:
    found = np.asarray(given)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise ValueError(
            f"{name} takes a list of whole numbers, got {found.dtype} of shape {found.shape}"
            + "; of a mask pass mask.nonzero()" * (found.dtype == bool)
        )
    found = found.astype(np.int64, copy=False)
    if (np.diff(found) < 0).any():  # (most come in order, and a sort takes its time even then)
        found = np.sort(found)
    if found.size and not 0 <= found[0] <= found[-1] < below:
        raise ValueError(
            f"{name} has {int(found[0])} to {int(found[-1])}, but there are {below} {of}"
        )
    if (np.diff(found) == 0).any():
        twice = int(found[:-1][np.diff(found) == 0][0])
        raise ValueError(f"{name} names {twice} twice")
    return found
