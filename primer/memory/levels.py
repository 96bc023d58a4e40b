"""The three levels of BLAS: what is computed for each byte that has to move at least once.

    level   operation        flops    bytes              flops a byte (item = 4)
    1       y = a x + y      2 n      3 n item           1/6
    2       y = A x          2 n^2    (n^2 + 2 n) item   1/2
    3       C = A B          2 n^3    3 n^2 item         n/6

Only the third uses a number more than a few times: it alone can outrun the memory. At an intensity
of I flops a byte a machine reaches min(peak, I * bandwidth): the roofline.
"""

import numpy as np

from primer.count import counting, matmul, plus, times


def operands(level: int, n: int, dtype=np.float32) -> tuple[np.ndarray, ...]:
    """Return what the operation reads."""
    draw = np.random.default_rng(level)
    shapes = {1: [(n,), (n,)], 2: [(n, n), (n, 1)], 3: [(n, n), (n, n)]}[level]
    return tuple(draw.random(shape, dtype) for shape in shapes)


def compute(level: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Carry the operation out, counted; level 1 with a = 2."""
    return plus(times(2, a), b) if level == 1 else matmul(a, b)


def flops(level: int, n: int) -> int:
    """Return products and sums."""
    return 2 * n**level


def moved(level: int, n: int, item: int = 4) -> int:
    """Return the bytes of all that is read and written, each once."""
    return item * {1: 3 * n, 2: n * n + 2 * n, 3: 3 * n * n}[level]


def counted(level: int, n: int, dtype=np.float32) -> tuple[int, int]:
    """Return flops and bytes, read off the arrays."""
    given = operands(level, n, dtype)
    with counting() as count:
        result = compute(level, *given)
    return 2 * count.macs, sum(a.nbytes for a in (*given, result))


def loops(a: list, b: list) -> list:
    """Return the product of two matrices that are lists of rows, number by number."""
    across = list(zip(*b, strict=True))
    return [[sum(x * y for x, y in zip(row, col, strict=True)) for col in across] for row in a]


def attainable(intensity: float, peak: float, bandwidth: float) -> float:
    """Return the flops a second that the roof allows."""
    return min(peak, intensity * bandwidth)
