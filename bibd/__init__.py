"""Sparse layers whose connections follow a combinatorial design.

>>> from bibd import BibdLinear
>>> layer = BibdLinear(1024, 1056)      # 32 connections per output instead of 1024

Public names are loaded on first use, so that `import bibd` never pays for torch.
"""

from importlib import import_module, metadata
from typing import Any

_HOME = {
    "Design": "bibd.design",
    "affine_plane": "bibd.design",
    "complement": "bibd.design",
    "dual": "bibd.design",
    "from_blocks": "bibd.design",
    "from_mask": "bibd.design",
    "modular": "bibd.design",
    "projective_plane": "bibd.design",
    "singer": "bibd.design",
    "tiled": "bibd.design",
    "truncate": "bibd.design",
    "Certificate": "bibd.certificate",
    "certify": "bibd.certificate",
    "nearest": "bibd.sizes",
    "FAMILIES": "bibd.families",
    "Pattern": "bibd.pattern",
    "make_pattern": "bibd.pattern",
    "SparseLinear": "bibd.linear",
    "BibdLinear": "bibd.linear",
    "RandomSparseLinear": "bibd.linear",
    "SparseConv2d": "bibd.conv",
    "BibdConv2d": "bibd.conv",
    "RandomSparseConv2d": "bibd.conv",
    "DynamicConv2d": "bibd.dynamic",
    "DynamicLinear": "bibd.dynamic",
    "dense_gradients": "bibd.dynamic",
    "init": "bibd.initialize",
    "weight_norm": "bibd.norms",
    "spectral_norm": "bibd.norms",
    "UnreadInputs": "bibd.advice",
    "sparsify": "bibd.convert",
    "to_onnx": "bibd.onnx.to_onnx",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("iddl")
    if name not in _HOME:
        raise AttributeError(
            f"module 'bibd' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    module = import_module(_HOME[name])
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
