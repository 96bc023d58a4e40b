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


def rates(names: Sequence[str], rate: float = 0.2, output: float | None = 0.1) -> dict[str, float]:
    """Return the share of each layer that goes in a round.

    Args:
        names: The layers, the output layer last.
        rate: Of all but the last one; 0 prunes nothing.
        output: Of the last one; None: the same.

    Raises:
        ValueError: a share that is not in [0, 1).
    """
    output = rate if output is None else output
    for what, share in {"rate": rate, "output": output}.items():
        check(1 - share, f"1 - {what}")
    return {name: output if name == names[-1] else rate for name in names}


def ladder(
    sizes: Mapping[str, int], levels: int, rate: float = 0.2, output: float | None = 0.1
) -> list[dict[str, int]]:
    """Return what is left of each layer at level 0, 1, ..., levels - 1.

    Args:
        sizes: Weights of each layer, the output layer last; biases do not count.
        levels: How many, with the dense one.
        rate: The share that goes in a round.
        output: The share of the output layer; None: the same.
    """
    share, found = rates(list(sizes), rate, output), [dict(sizes)]
    for _ in range(levels - 1):
        found.append({name: after(count, share[name]) for name, count in found[-1].items()})
    return found


def remaining(level: Mapping[str, int], sizes: Mapping[str, int]) -> float:
    """Return the share of all weights that is left."""
    return sum(level.values()) / sum(sizes.values())
