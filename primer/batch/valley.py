"""Steps over the batch, and the batch that needs the least time.

With noise N, and the rate as large as noise allows, of which `most` is for batches without any:

    rate      most / (1 + N / B)        so B / N of it while B is small
    steps     least (1 + N / B)         so few large batches, and N times as many of single samples
    samples   least (B + N)
    time      least (1 + N / B) (a + b B)      with a + b B seconds a step

Its slope is zero at B = sqrt(N a / b): the valley lies where noise and the cost of a call balance.
"""

from collections.abc import Sequence
from math import sqrt

from primer.batch.costs import line


def rate(batch: int, most: float, noise: float) -> float:
    """Return the rate that goes furthest in a step."""
    return most / (1 + noise / batch)


def steps(batch: float, least: float, noise: float) -> float:
    """Return how many steps it takes."""
    return least * (1 + noise / batch)


def seconds(batch: float, least: float, noise: float, fixed: float, each: float) -> float:
    """Return how long they take."""
    return steps(batch, least, noise) * (fixed + each * batch)


def best(noise: float, fixed: float, each: float) -> float:
    """Return the batch of the least time."""
    return sqrt(noise * fixed / each)


def fitted(batches: Sequence[int], counts: Sequence[float]) -> tuple[float, float]:
    """Return least steps and noise from steps that were counted."""
    least, slope = line([1 / batch for batch in batches], counts)
    return least, slope / least
