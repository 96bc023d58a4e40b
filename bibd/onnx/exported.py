"""A net as torch.onnx writes it, in float32, for any number of samples.

Weights can be left open: they are inputs of the graph then, which no optimizer can fold, and whose
names are those of the parameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from bibd.onnx.extras import cause, load, silent


class Opened(nn.Module):
    """A net that is told some of its parameters by its caller."""

    def __init__(self, net: nn.Module, keys: Sequence[str]):
        super().__init__()
        self.net, self.keys = net, list(keys)

    def forward(self, x: tuple[torch.Tensor, ...], weights: list[torch.Tensor]) -> Any:
        """Return what the net answers with these parameters."""
        told = dict(zip(self.keys, weights, strict=True))
        return torch.func.functional_call(self.net, told, x)


def exported(
    net: nn.Module,
    x: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str] | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
    called: str = "",
) -> Any:
    """Return the model of a net.

    Args:
        net: In evaluation, with dense layers.
        x: Its inputs, two samples or more: an exporter takes a batch of 1 for a size.
        inputs: What they are called in the graph.
        outputs: What its outputs are called.
        weights: Parameters that are left open, by name.
        called: What errors call the net.

    Raises:
        ImportError: the extra is not installed.
        ValueError: a net that torch.export cannot follow.
    """
    load("onnx", "onnxscript")
    weights = weights or {}
    sizes = ({0: torch.export.Dim("samples")},) * len(x), [None] * len(weights)
    how: dict[str, Any] = dict(dynamo=True, external_data=False, verbose=False)
    how |= dict(input_names=[*inputs, *weights], output_names=outputs, dynamic_shapes=sizes)
    try:
        with silent(), torch.no_grad():
            given = x, list(weights.values())
            program: Any = torch.onnx.export(Opened(net, list(weights)).eval(), given, **how)
    except Exception as error:
        name = called or type(net).__name__
        raise ValueError(f"torch.onnx cannot export {name}: {cause(error)}") from error
    return program.model_proto


def strip(model: Any) -> None:
    """Drop what nobody runs: traces, shapes between layers, numbers that no node reads."""
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    for value in [v for v in graph.initializer if v.name not in used]:
        graph.initializer.remove(value)
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, graph):
        part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
