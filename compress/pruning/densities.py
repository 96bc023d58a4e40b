"""How many weights each layer may keep, before it is asked which.

    uniform    every layer keeps the same share
    erk        layer l keeps the share min(1, e (in + out + kh + kw) / (in out kh kw)), with the
               one e that makes the whole sum up (Erdos-Renyi-kernel; without kernel sizes for
               Linear). Thin layers stay dense, wide ones pay
    global     no shares: all weights compete (compress.pruning.choose)

Shares become whole numbers by largest remainders, so that the sum is round(density x all).
"""

from collections.abc import Mapping, Sequence
from math import floor, isfinite, prod
from typing import Any

Shape = Sequence[int]


def check(density: Any, what: str = "density") -> float:
    """Return a density as a float if it is one, in (0, 1].

    Raises:
        ValueError: no number, NaN, 0, below 0, above 1.
    """
    if hasattr(density, "item") and getattr(density, "ndim", 1) == 0:  # (of numpy, of torch)
        density = density.item()
    number = isinstance(density, int | float) and not isinstance(density, bool)
    if not number or not isfinite(density) or not 0 < density <= 1:
        hint = ""
        if number and density == 0:
            hint = ": a net without weights says nothing; every layer keeps at least one"
        elif number and 1 < density <= 100:
            hint = f": for {density} percent say {density / 100:g}"
        raise ValueError(f"{what} is the share that stays, in (0, 1], got {density!r}{hint}")
    return float(density)


def whole(density: float, of: int) -> int:
    """Return how many of these weights stay, at least one."""
    return max(1, floor(density * of + 0.5))


def uniform(shapes: Mapping[str, Shape], density: float) -> dict[str, int]:
    """Return the count of each layer if all keep the same share, rounded by itself."""
    return {name: whole(density, prod(shape)) for name, shape in shapes.items()}


def erk(shapes: Mapping[str, Shape], density: float) -> dict[str, float]:
    """Return the share of each layer by the Erdos-Renyi-kernel rule, capped at 1.

    Args:
        shapes: Of the weights: (out, in) or (out, in, kh, kw).
        density: Of all of them together.
    """
    raw = {name: sum(shape) / prod(shape) for name, shape in shapes.items()}
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    wanted, full = density * sum(sizes.values()), set[str]()
    while True:
        open_ = [name for name in raw if name not in full]
        room = wanted - sum(sizes[name] for name in full)
        scale = room / sum(raw[name] * sizes[name] for name in open_) if open_ else 0.0
        above = {name for name in open_ if scale * raw[name] > 1}
        if not above:
            return {name: 1.0 if name in full else scale * raw[name] for name in raw}
        full |= above


def counts(shares: Mapping[str, float], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Turn shares into whole numbers whose sum is that of the shares, rounded.

    A layer keeps at least one weight, which may make the sum larger.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    exact = {name: shares[name] * sizes[name] for name in shares}
    found = {name: min(sizes[name], floor(value)) for name, value in exact.items()}
    missing = floor(sum(exact.values()) + 0.5) - sum(found.values())
    by_rest = sorted(found, key=lambda name: found[name] - exact[name])  # (stable: by place)
    for name in [n for n in by_rest if found[n] < sizes[n]][: max(0, missing)]:
        found[name] += 1
    return {name: max(1, count) for name, count in found.items()}
