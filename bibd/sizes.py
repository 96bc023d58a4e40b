"""Finds sizes of layers for which pattern `bibd` is a whole design, not a plane cut down.

    AG(2, q), c copies    q^2 inputs,          c (q^2 + q) outputs        q a prime power
    PG(2, q), c copies    q^2 + q + 1 inputs,  c (q^2 + q + 1) outputs

A design never has fewer outputs than inputs (Fisher), so no layer that contracts is a whole one.
"""

from math import isqrt, log

from bibd.field import prime_power


def nearest(in_features: int, out_features: int, count: int = 3) -> list[tuple[int, int]]:
    """Return the nearest sizes to a wanted one for which `bibd` is a BIBD, the best first.

    >>> nearest(100, 100)
    [(91, 91), (81, 90), (121, 132)]

    Args:
        in_features: Inputs of the layer that is wanted.
        out_features: Outputs of the layer that is wanted.
        count: How many sizes to return.

    Returns:
        Pairs (inputs, outputs), which every layer takes: `BibdLinear(*nearest(100, 100)[0])`.
        Near is what changes inputs and outputs by small factors.

    Raises:
        ValueError: a number that is not whole or is less than 1.
    """
    wanted = {"in_features": in_features, "out_features": out_features, "count": count}
    for name, got in wanted.items():
        if isinstance(got, bool) or not hasattr(got, "__index__") or got < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {got!r}")
    known = {size for q in _orders(in_features) for size in _sizes(q, out_features)}

    def far(size: tuple[int, int]) -> tuple[float, int]:
        factors = log(size[0] / in_features), log(size[1] / out_features)
        return abs(factors[0]) + abs(factors[1]), size[0]

    return sorted(known, key=far)[:count]


def whole_sizes(in_features: int, out_features: int) -> str:
    """Return the nearest whole sizes in words, for certificates and warnings."""
    return ", ".join(f"{v} x {b}" for v, b in nearest(in_features, out_features))


def _orders(v: int) -> list[int]:
    """Return prime powers around the root of v, and lower ones for layers of few outputs."""
    return [q for q in range(2, 2 * isqrt(v) + 8) if prime_power(q)]


def _sizes(q: int, b: int) -> set[tuple[int, int]]:
    """Return the sizes of order q, with as many copies as come near b outputs."""
    found = set()
    for v, each in ((q * q, q * q + q), (q * q + q + 1, q * q + q + 1)):
        copies = max(1, b // each)
        found |= {(v, copies * each), (v, (copies + 1) * each)}
    return found
