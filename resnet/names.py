"""What needs no torch: depths, words of the settings, where exits can stand, names of models."""

from collections.abc import Iterable, Sequence
from numbers import Integral

from bibd.families import COUNTED
from bibd.pattern import check_family

# Layers deep: how many times wider a block's output is than its middle, and blocks per stage.
DEPTHS = {
    10: (1, (1, 1, 1, 1)),
    18: (1, (2, 2, 2, 2)),
    34: (1, (3, 4, 6, 3)),
    50: (4, (3, 4, 6, 3)),
    101: (4, (3, 4, 23, 3)),
    152: (4, (3, 8, 36, 3)),
}
CLASSIFIERS = ("linear", "split")
HEADS = ("conv", "linear", "pool")
LOSSES = ("joint", "frozen")
INITS = ("true", "dense")
CRITERIA = ("max_probability", "entropy", "margin")
STAGES = 6  # stem, four stages of blocks, classifier
PREFIX = {"dense": "", "iddl": "B-", "random": "R-"}  # as published; others by their pattern


def name(depth: int, pattern: str = "dense", groups: int = 1, exits: tuple[int, ...] = ()) -> str:
    """Such as ResNet-18, B-ResNet-18, bibd-ResNet-34-V4 (four groups), ResNet-18-EE (exits)."""
    parts = [f"{PREFIX.get(pattern, f'{pattern}-')}ResNet-{depth}"]
    parts += [f"V{groups}"] * (groups > 1) + ["EE"] * bool(exits)
    return "-".join(parts)


def check_exits(after: Sequence[int], stages: int) -> tuple[int, ...]:
    """The numbers themselves, if such stages exist and have a stage behind them."""
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


def check_match(pattern: str, match: str) -> None:
    """Refuse to give a pattern a count that it does not let one choose."""
    if not match:
        return
    check_family(match)
    if pattern not in COUNTED:
        raise ValueError(
            f"match={match!r} is for patterns whose count can be chosen ({', '.join(COUNTED)}), "
            f"not for {pattern!r}"
        )
