"""Words of exits that need no torch: kinds of heads, criteria, and where an exit can stand."""

from collections.abc import Iterable, Sequence
from numbers import Integral

HEADS = ("conv", "linear", "pool")
CRITERIA = ("max_probability", "entropy", "margin")


def check_exits(after: Sequence[int], stages: int) -> tuple[int, ...]:
    """Return the numbers themselves if such stages exist and have a stage behind them.

    Raises:
        ValueError: no such stage, the last one, none at all, or not in ascending order.
    """
    numbers = tuple(after) if isinstance(after, Iterable) else (after,)
    whole = [isinstance(n, Integral) and not isinstance(n, bool) for n in numbers]
    numbers = tuple(int(n) if fine else n for n, fine in zip(numbers, whole, strict=True))
    wrong = [n for n in numbers if type(n) is not int or not 0 <= n < stages - 1]
    if wrong:
        raise ValueError(
            f"there is no exit after stage {wrong[0]}: this net has stages 0 to {stages - 1}, and "
            f"an exit can stand after 0 to {stages - 2} (the last stage ends in one)"
        )
    if not numbers or list(numbers) != sorted(set(numbers)):
        raise ValueError(f"exits must be numbers of stages in ascending order, got {after}")
    return numbers
