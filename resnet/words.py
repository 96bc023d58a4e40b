"""Words of the study that need no torch: depths, settings, and names of models."""

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
LOSSES = ("joint", "frozen")
INITS = ("true", "dense")
STAGES = 6  # stem, four stages of blocks, classifier
PREFIX = {"dense": "", "iddl": "B-", "random": "R-"}  # as published; others by their pattern


def name(depth: int, pattern: str = "dense", groups: int = 1, exits: tuple[int, ...] = ()) -> str:
    """Return a model's name: ResNet-18, B-ResNet-18, bibd-ResNet-34-V4 (groups), ResNet-18-EE."""
    parts = [f"{PREFIX.get(pattern, f'{pattern}-')}ResNet-{depth}"]
    parts += [f"V{groups}"] * (groups > 1) + ["EE"] * bool(exits)
    return "-".join(parts)


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
