"""What the configs of all studies refuse alike: counts below one, an optimizer that cannot work."""

from math import inf
from typing import Any


def check_counts(config: Any, *names: str) -> None:
    """Raise ValueError where one of these fields is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")


def check_sgd(config: Any) -> None:
    """Raise ValueError where learning rate or momentum are none of SGD's."""
    if not 0 < config.lr < inf or not 0 <= config.momentum < 1:
        got = f"got {config.lr} and {config.momentum}"
        raise ValueError(f"lr must be above 0 and finite, momentum in [0, 1), {got}")
