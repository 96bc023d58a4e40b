"""Nets made small: pruned, their weights shared, their files coded, their patterns moved.

Public names are loaded on first use, so that `import compress` never pays for torch.
"""

from importlib import import_module, metadata
from typing import Any

_HOME: dict[str, str] = {
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


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("iddl")
    if name not in _HOME:
        raise AttributeError(
            f"module 'compress' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(_HOME[name]), name)
    return value


def __dir__():
    return __all__
