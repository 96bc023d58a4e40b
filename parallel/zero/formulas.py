"""What a rank holds and sends under all-reduce and the stages of ZeRO.

    stage        held                          sent in a step
    all_reduce   (p + g + K) N + p A           2 r p N
    zero1        (p + g) N + K S + p A         2 r p N
    zero2        p N + (g + K) S + p A         2 r p N
    zero3        (p + g + K) S + p A           3 r p N

N numbers, S = ceil(N / ranks), r = (ranks - 1) / ranks; p, g, K are bytes of a weight, its gradient
and its state. `mixed` are 2, 2 and a float32 copy beside the state. A are the activations that a
rank keeps for its backward; no stage divides them, and they count where they are said.
"""

from dataclasses import asdict
from typing import Any

from harness.names import check
from parallel.strategy import make
from parallel.strategy.zero import Held, held

STATES = {"adam": 2, "momentum": 1, "sgd": 0}  # float32 numbers that an optimizer keeps of each
STAGES = ("all_reduce", "zero1", "zero2", "zero3")


def each_number(optimizer: str, precision: str) -> Held:
    """Return the bytes of a weight, of its gradient, and of what the optimizer keeps of it.

    Raises:
        ValueError: an unknown optimizer.
    """
    kept = 4 * STATES[check("optimizer", optimizer, STATES)]
    return Held(2, 2, 4 + kept) if precision == "mixed" else Held(4, 4, kept)


def table(
    size: int, ranks: int, optimizer: str, precision: str, activations: int = 0
) -> list[dict[str, Any]]:
    """Return bytes that the first rank holds and that a rank sends, for each strategy.

    Activations are in a column of their own, if there are any.

    Raises:
        ValueError: an unknown optimizer, or no ranks or weights.
    """
    if size < 1 or ranks < 1:
        raise ValueError(f"expected 1 or more weights and ranks, got {size} and {ranks}")
    each, found = each_number(optimizer, precision), []
    live = {"activations": each.parameters * activations} if activations else {}
    for stage, name in enumerate(STAGES):
        strategy = make(name)
        strategy.init(ranks)
        kinds = asdict(held(stage, size, ranks, each)) | live
        sent = strategy.theory(each.parameters * size)
        found.append({"name": name, **kinds, "held": sum(kinds.values()), "sent": sent})
    return found
