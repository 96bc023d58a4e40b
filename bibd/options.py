"""Options that several verbs share: the layer whose pattern is meant."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class LayerOptions:
    """Sizes and pattern of a layer."""

    inputs: Annotated[int, tyro.conf.arg(name="in")]
    """Inputs of the layer, its points (channels of a convolution)."""
    outputs: Annotated[int, tyro.conf.arg(name="out")]
    """Outputs of the layer, its blocks (filters of a convolution)."""
    pattern: str = "bibd"
    """Name of the pattern; python -m bibd --list shows them."""
    seed: int | None = None
    """None is the canonical order."""
    nonzeros: int | None = None
    """Connections, for patterns that let one choose."""
