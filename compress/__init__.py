"""Nets made small: pruned, their weights shared, their files coded, their patterns moved.

Public names are loaded on first use, so that `import compress` never pays for torch.
"""

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from compress.file.fold import fold as fold
    from compress.file.pack import pack as pack
    from compress.file.pack import patterns as patterns
    from compress.file.pack import unpack as unpack
    from compress.file.share import bake as bake
    from compress.file.share import share as share
    from compress.file.sizes import sizes as sizes
    from compress.identities.findings import verify as verify
    from compress.int8.explain import explain as explain
    from compress.int8.quantize import load_quantized as load_quantized
    from compress.int8.quantize import quantize as quantize
    from compress.moving.moving import Moving as Moving
    from compress.pruning.apply import Masked as Masked
    from compress.pruning.foreign import from_torch as from_torch
    from compress.pruning.foreign import to_torch as to_torch
    from compress.pruning.freeze import freeze as freeze
    from compress.pruning.masks import Masks as Masks
    from compress.pruning.prune import KeptOne as KeptOne
    from compress.pruning.prune import prune as prune
    from compress.pruning.schedule import Gradual as Gradual
    from compress.pruning.schedule import steps as steps
    from compress.pruning.structured import prune_channels as prune_channels
    from compress.tickets.branches import branch as branch
    from compress.tickets.branches import following as following
    from compress.tickets.course import Course as Course
    from compress.tickets.course import early_stop as early_stop
    from compress.tickets.ladder import ladder as ladder
    from compress.tickets.level import Level as Level
    from compress.tickets.level import dense as dense

_HOME = {
    "Moving": "compress.moving.moving",
    "bake": "compress.file.share",
    "fold": "compress.file.fold",
    "pack": "compress.file.pack",
    "share": "compress.file.share",
    "sizes": "compress.file.sizes",
    "patterns": "compress.file.pack",
    "unpack": "compress.file.pack",
    "Course": "compress.tickets.course",
    "Gradual": "compress.pruning.schedule",
    "KeptOne": "compress.pruning.prune",
    "Level": "compress.tickets.level",
    "Masked": "compress.pruning.apply",
    "Masks": "compress.pruning.masks",
    "explain": "compress.int8.explain",
    "load_quantized": "compress.int8.quantize",
    "quantize": "compress.int8.quantize",
    "branch": "compress.tickets.branches",
    "dense": "compress.tickets.level",
    "early_stop": "compress.tickets.course",
    "following": "compress.tickets.branches",
    "freeze": "compress.pruning.freeze",
    "from_torch": "compress.pruning.foreign",
    "ladder": "compress.tickets.ladder",
    "prune": "compress.pruning.prune",
    "prune_channels": "compress.pruning.structured",
    "steps": "compress.pruning.schedule",
    "to_torch": "compress.pruning.foreign",
    "verify": "compress.identities.findings",
}
__all__ = sorted(_HOME)  # pyright: ignore
__getattr__, __dir__ = lazily(__name__, _HOME)
