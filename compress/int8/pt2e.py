"""Static int8 through torchao: torch.export, ranges by observers, kernels of oneDNN.

The file holds a reference graph, in which every rounding is written out. For each shape of a batch
it is lowered to int8 kernels once (some seconds; no compiler is needed), and kept.
"""

import platform
from collections import OrderedDict
from typing import Any

import torch
from torch import fx
from torch.fx.graph import CodeGen

from compress.int8 import archive, graphs, norms
from compress.int8.asked import Asked
from compress.int8.extras import X86, cause, load, overflows, quiet, silent
from compress.int8.quantized import Facts, Quantized

BATCH = 64  # samples at a time while ranges are found
KEPT = 4  # shapes whose kernels are kept
STEPS = "torchao.quantization.pt2e.quantize_pt2e"
FOLDING = "torchao.quantization.pt2e.utils"
QUANTIZER = "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer"
SIZES = ({0: torch.export.Dim("samples", min=2)},)  # (a graph for two serves one as well)


def make(asked: Asked, how: str, **_: Any) -> bytes:
    """Return the file of a net.

    Raises:
        ImportError: the extra is not installed.
        ValueError: a net that torch.export cannot follow, or another kind of processor.
    """
    prepared = prepare(asked, learning=False)
    with torch.no_grad(), quiet():
        for batch in asked.x.split(BATCH):
            prepared(batch)
    return packed(prepared, asked, how)


def prepare(asked: Asked, learning: bool) -> fx.GraphModule:
    """Return the net as a graph whose ranges are watched, or rounded while it learns."""
    steps, folding, quantizer = load(STEPS, FOLDING, QUANTIZER)
    if platform.machine() not in X86:
        raise ValueError(
            f"torchao's int8 kernels are those of x86, this is {platform.machine()}: "
            'how="onnx_static" runs here'
        )
    chosen = quantizer.X86InductorQuantizer()
    config = quantizer.get_default_x86_inductor_quantization_config
    with quiet(), torch.no_grad():
        chosen.set_global(config(is_qat=learning, reduce_range=overflows()))
        graph = exported(asked.net, asked.example).module()
        folding._fuse_conv_bn_(graph)  # (as torchao does itself, but where a net is to learn)
        norms.spread(graph)
        return (steps.prepare_qat_pt2e if learning else steps.prepare_pt2e)(graph, chosen)


def exported(net: torch.nn.Module, example: torch.Tensor) -> Any:
    """Return the net as torch.export follows it, for any number of samples.

    Raises:
        ValueError: it cannot.
    """
    try:
        with silent():
            return torch.export.export(net, (example,), dynamic_shapes=SIZES)
    except Exception as error:
        raise ValueError(f"torch.export cannot follow the net: {cause(error)}") from error


def packed(prepared: fx.GraphModule, asked: Asked, how: str) -> bytes:
    """Return the file of a graph that has seen its ranges."""
    (steps,) = load(STEPS)
    with quiet():
        converted = steps.convert_pt2e(prepared)
    lines, tensors = graphs.write(exported(converted, asked.example))
    bits = 7 if overflows() else 8
    facts = Facts(how, tuple(asked.x.shape[1:]), asked.classes, bits, asked.notes)
    return archive.write(facts._asdict(), lines, tensors)


def read(content: bytes) -> "GraphNet":
    """Return the net in a file; nothing in it is run that is not an operator of a net.

    Raises:
        ImportError: the extra is not installed.
        ValueError: says what is wrong with the file.
    """
    load(STEPS)
    said, lines, tensors = archive.read(content)
    return GraphNet(content, Facts.read(said), graphs.read(lines, tensors))


class GraphNet(Quantized):
    """A net that oneDNN's int8 kernels run; `reference` is what they must answer.

    Args:
        content: The bytes of its file.
        facts: What they say of the net.
        reference: The graph with its roundings written out.
    """

    def __init__(self, content: bytes, facts: Facts, reference: fx.GraphModule):
        super().__init__(content, facts)
        self.reference = reference.requires_grad_(False)
        self._lowered: OrderedDict[torch.Size, Any] = OrderedDict()

    @torch.no_grad()
    def _answer(self, x: torch.Tensor) -> list[torch.Tensor]:
        graph = self._lowered.get(x.shape)
        if graph is None:
            graph = self._lowered[x.shape] = lowered(self.reference, x)
            if len(self._lowered) > KEPT:
                self._lowered.popitem(last=False)
        return list(graph.forward(x))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lowered": OrderedDict()}


def lowered(reference: fx.GraphModule, x: torch.Tensor) -> fx.GraphModule:
    """Return a graph of int8 kernels for batches of this shape."""
    way, _ = load("torchao.quantization.pt2e.lowering", QUANTIZER)  # (which knows the patterns)
    with quiet():
        graph = way.lower_pt2e_quantized_to_x86(reference, (torch.zeros_like(x),))
    if "onednn" not in str(graph.graph):
        raise ValueError(
            "no layer became one of oneDNN's int8 kernels, so that it would be slower than "
            'float32: take how="onnx_static"'
        )
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default  # (oneDNN answers in channels last)
    graph.graph.set_codegen(CodeGen())  # (a call need not look for trees and guards)
    return fx.GraphModule(graph, graph.graph)
