"""Keep every s-th value, and compute the rest once more: less memory for more time.

    forward    o . . . o . . . o . . .      o kept: the first value of each segment
    backward                   o-o-o-o      the last segment is run on a tape, and read back
                       o-o-o-o              then the one before it, from its first value, ...

Of L layers of width w, in segments of s layers, at most L/s + s values are kept instead of L + 1;
all layers but the last s are run twice.
"""

from collections.abc import Callable, Sequence

import numpy as np

from primer.autodiff.sides import ITEM, net
from primer.count import holding, matmul, note
from primer.tape import vjp


def gradients(matrices: Sequence[np.ndarray], x: np.ndarray, segment: int) -> list[np.ndarray]:
    """Return the gradients of the sum of the net's results for all matrices.

    Raises:
        ValueError: the layers do not fall into segments of this size.
    """
    if segment < 1 or len(matrices) % segment:
        fits = [s for s in range(1, len(matrices) + 1) if len(matrices) % s == 0]
        raise ValueError(f"segment must divide {len(matrices)} layers, got {segment}: take {fits}")
    parts = [matrices[k : k + segment] for k in range(0, len(matrices), segment)]
    starts = [x]
    for part in parts[:-1]:
        starts.append(forward(part, starts[-1]))
    found: list[np.ndarray] = []
    g = None
    while parts:
        with holding(*starts):
            y, pull = vjp(lambda x, *ws: net(ws, x), starts[-1], *parts[-1])
            g, *of_weights = pull(np.ones_like(y) if g is None else g)
        found = of_weights + found
        starts.pop()
        parts.pop()
    return found


def forward(matrices: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Run the layers, and keep nothing."""
    for w in matrices:
        x = np.tanh(matmul(w, x))
        note(macs=x.size)
    return x


def macs(layers: int, width: int, segment: int) -> int:
    """Return the multiply-adds: each layer once more but the last segment's, then twice back."""
    once = width**2 + width
    back = 2 * width**2 + 2 * width
    return (layers - segment) * once + layers * (once + back)


def held(layers: int, width: int, segment: int) -> int:
    """Return the most bytes alive: the starts, a segment's values, and a gradient."""
    return ITEM * width * (layers // segment + segment + 1)


def cheapest(layers: int, cost: Callable[[int, int, int], int], width: int = 1) -> int:
    """Return the segment for which a cost is least."""
    fits = [s for s in range(1, layers + 1) if layers % s == 0]
    return min(fits, key=lambda s: cost(layers, width, s))
