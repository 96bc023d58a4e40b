"""How many weights are left at each level: a share of each layer goes in every round.

LeNet-300-100, 20 % a round, 10 % of the output layer:
level      0     1     2     3  ...     7  ...
left   100 %  80.0  64.1  51.3  ...  21.1  ...
"""

from collections.abc import Mapping, Sequence
from math import floor

from compress.pruning.densities import check


def after(count: int, rate: float) -> int:
    """Return how many of these weights a round leaves: the share that goes is rounded (half up)."""
    return max(1, count - floor(rate * count + 0.5))


Rate = float | Mapping[str, float]


def rates(names: Sequence[str], rate: Rate = 0.2, output: float | None = 0.1) -> dict[str, float]:
    """Return the share of each layer that goes in a round.

    Args:
        names: The layers, the output layer last.
        rate: Of all but the last one, or of each by its name; 0 prunes nothing.
        output: Of the last one; None: the same, or what its name says.

    Raises:
        ValueError: a share that is not in [0, 1), or a layer that has none.
    """
    for share in rate.values() if isinstance(rate, Mapping) else [rate]:
        check(1 - share, "1 - rate")
    if output is None:
        return {name: _of(rate, name) for name in names}
    check(1 - output, "1 - output")
    return {name: _of(rate, name) for name in names[:-1]} | {names[-1]: output}


def _of(rate: Rate, name: str) -> float:
    if not isinstance(rate, Mapping):
        return rate
    if name not in rate:
        raise ValueError(f"rate= says nothing of {name!r}: it has {', '.join(rate) or 'no layer'}")
    return rate[name]


def ladder(
    sizes: Mapping[str, int], levels: int, rate: Rate = 0.2, output: float | None = 0.1
) -> list[dict[str, int]]:
    """Return what is left of each layer at level 0, 1, ..., levels - 1.

    Args:
        sizes: Weights of each layer, the output layer last; biases do not count.
        levels: How many, with the dense one.
        rate: The share that goes in a round, of all layers or of each by its name.
        output: The share of the output layer; None: the same.

    Raises:
        ValueError: no level, or a share that is not in [0, 1).
    """
    if levels < 1:
        raise ValueError(f"levels counts the dense one, so it is at least 1, got {levels!r}")
    share, found = rates(list(sizes), rate, output), [dict(sizes)]
    for _ in range(levels - 1):
        found.append({name: after(count, share[name]) for name, count in found[-1].items()})
    return found


def remaining(level: Mapping[str, int], sizes: Mapping[str, int]) -> float:
    """Return the share of all weights that is left."""
    return sum(level.values()) / sum(sizes.values())
