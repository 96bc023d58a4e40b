"""How many weights masks leave: the density, and the shares of Erdos-Renyi's layers."""

import math

from compress.identities.nets import mlp, samples
from compress.pruning import densities
from compress.pruning.prune import prune
from harness.result.identity import furthest

SHAPES = {"a": (300, 784), "b": (100, 300), "c": (10, 100), "d": (64, 3, 3, 3), "e": (4, 4, 1, 1)}


def counted() -> float:
    """Return how far the counts of masks are from the density, in weights."""
    net, far = mlp(), 0.0
    for score in ("magnitude", "random", "snip", "grasp", "synflow"):
        for density in (0.9, 0.5, 0.33):
            masks = prune(net, density, score, data=samples(net))
            far = furthest(far, abs(masks.kept - math.floor(density * masks.of + 0.5)))
    return far


def erk_by_bisection() -> float:
    """Compare the shares with those of the factor that bisection finds."""
    sizes = {name: math.prod(shape) for name, shape in SHAPES.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in SHAPES.items()}
    far = 0.0
    for density in (0.02, 0.2, 0.8):
        low, high = 0.0, 1 / min(raw.values())
        for _ in range(100):
            e = (low + high) / 2
            held = sum(min(1.0, e * raw[n]) * sizes[n] for n in raw)
            low, high = (e, high) if held < density * sum(sizes.values()) else (low, e)
        shares = densities.erk(SHAPES, density)
        far = furthest(far, *[abs(shares[n] - min(1.0, low * raw[n])) for n in raw])
    return far


def erk_sum() -> float:
    """Return how far the sum of the counts is from the whole, in weights."""
    of = sum(math.prod(shape) for shape in SHAPES.values())
    every = [0.02, 0.2, 0.8]
    sums = [sum(densities.counts(densities.erk(SHAPES, d), SHAPES).values()) for d in every]
    return furthest(*[abs(s - math.floor(d * of + 0.5)) for s, d in zip(sums, every, strict=True)])
