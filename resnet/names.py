"""Words of the study that need no torch: depths, classifiers, and what a model is called."""

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
PREFIX = {"dense": "", "iddl": "B-", "random": "R-"}  # as published; others by their pattern


def name(depth: int, pattern: str = "dense", groups: int = 1, exits: tuple[int, ...] = ()) -> str:
    """Such as ResNet-18, B-ResNet-18, bibd-ResNet-34-V4 (four groups), ResNet-18-EE (exits)."""
    parts = [f"{PREFIX.get(pattern, f'{pattern}-')}ResNet-{depth}"]
    parts += [f"V{groups}"] * (groups > 1) + ["EE"] * bool(exits)
    return "-".join(parts)
