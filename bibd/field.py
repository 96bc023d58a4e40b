"""Computes in finite fields GF(p^m) that are small enough for tables.

An element is a number 0..q-1 whose base-p digits are the coefficients of a polynomial in x, lowest
first. Sums are digit by digit; products go through powers of a primitive element:

    GF(4), x^2 = x + 1:    0, 1, x = 2, x + 1 = 3        2 * 3 = x^2 + x = 1
"""

from functools import lru_cache

import numpy as np


def factor(n: int) -> dict[int, int]:
    """Return the prime factors of n >= 1 with their exponents."""
    found: dict[int, int] = {}
    p = 2
    while p * p <= n:
        while n % p == 0:
            found[p] = found.get(p, 0) + 1
            n //= p
        p += 1
    if n > 1:
        found[n] = found.get(n, 0) + 1
    return found


def prime_power(q: int) -> tuple[int, int] | None:
    """Return (p, m) with q = p^m, or None where q is no power of a prime."""
    factors = factor(q) if q > 1 else {}
    return next(iter(factors.items())) if len(factors) == 1 else None


def next_prime_power(n: int) -> int:
    """Return the smallest prime power that is at least n."""
    q = max(n, 2)
    while prime_power(q) is None:
        q += 1
    return q


def near_prime_powers(n: int) -> tuple[int, int]:
    """Return the prime powers next below and next above n (n >= 3)."""
    low = n - 1
    while prime_power(low) is None:
        low -= 1
    return low, next_prime_power(n + 1)


class Field:
    """The field GF(q), with vectorised arithmetic on arrays of the numbers 0 to q-1."""

    def __init__(self, q: int):
        power = prime_power(q)
        if power is None:
            low, high = near_prime_powers(max(q, 3))
            raise ValueError(
                f"a field has a prime power of elements, {q} is none; near: {low}, {high}"
            )
        self.q, (self.p, self.m) = q, power
        self.exp, self.log = _powers(q, self.p, self.m)

    def add(self, a, b) -> np.ndarray:
        """Add two elements, digit by digit modulo p."""
        if self.m == 1:
            return (np.asarray(a) + b) % self.p
        return _digitwise(np.asarray(a), np.asarray(b), self.p, self.m)

    def mul(self, a, b) -> np.ndarray:
        """Multiply two elements by tables of logarithms, with 0 treated apart."""
        a, b = np.broadcast_arrays(a, b)
        product = self.exp[(self.log[a] + self.log[b]) % (self.q - 1)]
        return np.where((a == 0) | (b == 0), 0, product)


@lru_cache(maxsize=64)
def field(q: int) -> Field:
    """Return GF(q), whose tables are built once."""
    return Field(q)


def _digitwise(a: np.ndarray, b: np.ndarray, p: int, m: int) -> np.ndarray:
    total, place = np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype=np.int64), 1
    for _ in range(m):
        total = total + (a // place + b // place) % p * place
        place *= p
    return total


def _powers(q: int, p: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return powers of a primitive element and logarithms (that of 0 is never used)."""
    exp = _prime_powers_of(p) if m == 1 else _polynomial_powers(q, p, m)
    log = np.zeros(q, dtype=np.int64)
    log[exp] = np.arange(q - 1)
    return exp, log


def _prime_powers_of(p: int) -> np.ndarray:
    order = p - 1
    divisors = [order // f for f in factor(order)] if order > 1 else []
    g = next(g for g in range(1, p) if all(pow(g, d, p) != 1 for d in divisors))
    exp = np.ones(order, dtype=np.int64)
    for i in range(1, order):
        exp[i] = exp[i - 1] * g % p
    return exp


def _polynomial_powers(q: int, p: int, m: int) -> np.ndarray:
    """Try x^m = c for each remainder c until x's powers are all nonzero elements."""
    for c in range(1, q):
        exp = [1]
        while len(exp) < q:
            top, rest = divmod(exp[-1] * p, q)  # times x; the digit that runs over ...
            value = int(
                _digitwise(np.asarray(rest), np.asarray(_scaled(c, top, p)), p, m)
            )  # ... comes back as c
            if value == 1:
                break
            exp.append(value)
        if len(exp) == q - 1:
            return np.array(exp, dtype=np.int64)
    raise AssertionError(f"no primitive polynomial of degree {m} over GF({p})")


def _scaled(c: int, times: int, p: int) -> int:
    """Multiply every digit of c by a number, modulo p."""
    total, place = 0, 1
    while c:
        c, digit = divmod(c, p)
        total += digit * times % p * place
        place *= p
    return total
