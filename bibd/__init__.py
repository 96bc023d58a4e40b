"""Sparse layers whose connections follow a combinatorial design.

>>> from bibd import BibdLinear
>>> layer = BibdLinear(1024, 1056)      # 32 connections per output instead of 1024

Public names are loaded on first use, so that `import bibd` never pays for torch.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bibd.advice import UnreadInputs as UnreadInputs
    from bibd.certificate import Certificate as Certificate
    from bibd.certificate import certify as certify
    from bibd.conv import BibdConv2d as BibdConv2d
    from bibd.conv import RandomSparseConv2d as RandomSparseConv2d
    from bibd.conv import SparseConv2d as SparseConv2d
    from bibd.convert import sparsify as sparsify
    from bibd.design import Design as Design
    from bibd.design import affine_plane as affine_plane
    from bibd.design import complement as complement
    from bibd.design import dual as dual
    from bibd.design import from_blocks as from_blocks
    from bibd.design import from_mask as from_mask
    from bibd.design import modular as modular
    from bibd.design import projective_plane as projective_plane
    from bibd.design import singer as singer
    from bibd.design import tiled as tiled
    from bibd.design import truncate as truncate
    from bibd.dynamic import DynamicConv2d as DynamicConv2d
    from bibd.dynamic import DynamicLinear as DynamicLinear
    from bibd.dynamic import dense_gradients as dense_gradients
    from bibd.families import FAMILIES as FAMILIES
    from bibd.initialize import init as init
    from bibd.kernels.modes import replayed as replayed
    from bibd.linear import BibdLinear as BibdLinear
    from bibd.linear import RandomSparseLinear as RandomSparseLinear
    from bibd.linear import SparseLinear as SparseLinear
    from bibd.norms import spectral_norm as spectral_norm
    from bibd.norms import weight_norm as weight_norm
    from bibd.onnx.to_onnx import to_onnx as to_onnx
    from bibd.pattern import Pattern as Pattern
    from bibd.pattern import make_pattern as make_pattern
    from bibd.sizes import nearest as nearest

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
    "replayed": "bibd.kernels.modes",
    "sparsify": "bibd.convert",
    "to_onnx": "bibd.onnx.to_onnx",
}
__all__ = sorted(_HOME)  # pyright: ignore


def __getattr__(name: str) -> Any:
    """Load a public name, as harness.lazy does, which this package stands without."""
    if name == "__version__":
        try:
            return metadata.version("iddl")
        except metadata.PackageNotFoundError:
            return "unknown"
    if name not in _HOME:
        raise AttributeError(
            f"module 'bibd' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
