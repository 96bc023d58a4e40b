"""`explain(net, how)` names what a kind of int8 would slow down, or not speed up, and why.

    how                  what is int8                                  offered here
    onnx_static          weights and activations, ranges from samples  yes
    torchao, qat         the same                                      yes
    onnx_dynamic         ranges anew for each batch                    no
    torchao_dynamic      the same, in eager torch                      no
    weight_only          weights; products are float32                 no

Times are those of benchmarks/int8.json (a test holds that): medians on one thread of a processor
with AVX-512 VNNI and AMX. `python -m benchmarks.int8` measures them again.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from bibd import SparseConv2d, SparseLinear
from compress.int8 import extras
from harness.names import check, kind_of

KINDS = ("onnx_static", "torchao", "qat", "onnx_dynamic", "torchao_dynamic", "weight_only")
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, SparseConv2d)
LAYERS = (nn.Linear, SparseLinear, *CONVS)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
FLOAT = (nn.LayerNorm, nn.GroupNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)
SMALL = 300_000  # weights below which a call costs more than its products


class Reason(NamedTuple):
    """What a kind of int8 does to some layers, and the evidence."""

    layers: tuple[str, ...]
    what: str
    evidence: str

    def __str__(self) -> str:
        shown = ", ".join(self.layers[:3]) + ", ..." * (len(self.layers) > 3)
        return f"{shown or 'the net'}: {self.what} ({self.evidence})"


def explain(net: nn.Module, how: str = "onnx_static") -> list[Reason]:
    """Return what would be slower in int8 than it could be; nothing where all is well.

    Args:
        net: Any module; it is looked at, not run.
        how: One of KINDS: those of `quantize`, and those that it does not offer.

    Raises:
        ValueError: no net, or an unknown kind.
    """
    check("how", how, KINDS)
    if not isinstance(net, nn.Module):
        raise ValueError(f"explain takes a net, got {kind_of(net)}")
    rules = {
        "onnx_dynamic": (_dynamic_convolutions,),
        "torchao_dynamic": (_dynamic_torch,),
        "weight_only": (_weights_only,),
    }
    both = (_sparse_linear, _sparse_convolutions, _exits, _stays_float, _overflow)
    torchao = (_shapes, _small)
    found = (*both, *torchao) if how in ("torchao", "qat") else both
    return [reason for rule in rules.get(how, found) for reason in rule(net)]


def _named(net: nn.Module, kinds: tuple[type, ...]) -> tuple[str, ...]:
    return tuple(
        name or type(m).__name__ for name, m in net.named_modules() if isinstance(m, kinds)
    )


def _dynamic_convolutions(net: nn.Module) -> Iterator[Reason]:
    if names := _named(net, CONVS):
        what = "dynamic int8 convolutions are slower than float32, at any batch: take onnx_static"
        yield Reason(
            names, what, "ResNet-18 of width 64: 18.9 ms for 13.7 at batch 1, 413 for 278 at batch "
            "32; onnxruntime's maintainers say the same, issue 12854"
        )  # fmt: skip


def _dynamic_torch(net: nn.Module) -> Iterator[Reason]:
    what = "ranges are found anew in each call, by calls of their own: take onnx_static or torchao"
    yield Reason((), what, "found slower than torch's own dynamic int8, torchao issue 4365")


def _weights_only(net: nn.Module) -> Iterator[Reason]:
    what = "only the file is smaller: products stay float32, and weights are made so in each call"
    yield Reason((), what, "compress.pack makes smaller files")


def _sparse_linear(net: nn.Module) -> Iterator[Reason]:
    if names := _named(net, (SparseLinear,)):
        what = "int8 multiplies the zeros, too: float32 that skips them is faster in wide layers"
        yield Reason(
            names, what, "1024-1024-1056-10, batch 32: 0.517 ms dense int8, 0.267 sparse float32; "
            "but LeNet-300-100: 0.0801 and 0.145"
        )  # fmt: skip


def _sparse_convolutions(net: nn.Module) -> Iterator[Reason]:
    if names := _named(net, (SparseConv2d,)):
        what = "int8 multiplies the zeros, too, and is faster still than float32 that skips them"
        yield Reason(
            names, what, "ResNet-18 of width 64, batch 1: 4.54 ms dense int8, 11.1 sparse float32"
        )  # fmt: skip


def _exits(net: nn.Module) -> Iterator[Reason]:
    if hasattr(net, "early"):
        what = "no sample leaves early: stages that it would have been spared are computed"
        yield Reason((), what, "a graph that is fixed has one way through")


def _stays_float(net: nn.Module) -> Iterator[Reason]:
    if names := (*_leading_norms(net), *_named(net, FLOAT)):
        what = "stays float32, so that its inputs and outputs are turned into integers and back"
        yield Reason(names, what, "batch norms go into the layer before them, these have none")


def _leading_norms(net: nn.Module) -> Iterator[str]:
    """Yield the batch norms of a row of modules that follow no layer."""
    for name, row in net.named_modules():
        if not isinstance(row, nn.Sequential):
            continue
        before: nn.Module | None = None
        for key, module in row.named_children():
            if isinstance(module, NORMS) and not isinstance(before, LAYERS):
                yield f"{name}.{key}".lstrip(".")
            before = module


def _overflow(net: nn.Module) -> Iterator[Reason]:
    if extras.overflows():
        what = "weights get 7 bits: two products of 8 by 8 bits overflow the 16 of this processor"
        yield Reason((), what, "no VNNI; onnxruntime advises reduce_range there")


def _shapes(net: nn.Module) -> Iterator[Reason]:
    what = "each new shape of a batch costs some seconds once: keep to few batch sizes"
    yield Reason((), what, "its products are chosen anew for that shape")


def _small(net: nn.Module) -> Iterator[Reason]:
    if sum(p.numel() for p in net.parameters()) < SMALL:
        what = "a call of torch costs more than the products of so small a net: take onnx_static"
        yield Reason((), what, "LeNet-300-100, batch 1: 0.377 ms by torchao, 0.0542 by onnxruntime")
