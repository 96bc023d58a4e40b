"""Graphs of torch.export as plain data, so that a file of one runs no code when it is read.

torch.export.load unpickles; here a graph is a list of [operator, arguments], numbers and words, and
only operators of the list below come back.
"""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

_NAMES = """
quantize_per_tensor dequantize_per_tensor quantize_per_channel dequantize_per_channel

linear conv1d conv2d conv3d batch_norm layer_norm group_norm addmm mm matmul bmm baddbmm embedding
relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ gelu silu silu_ sigmoid tanh
hardswish hardswish_ hardsigmoid softmax log_softmax
add add_ sub sub_ mul mul_ div div_ neg pow sqrt rsqrt exp clamp maximum minimum abs
max_pool1d max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_max_pool2d mean sum max amax min amin upsample_nearest2d pixel_shuffle
flatten view reshape unflatten squeeze unsqueeze permute transpose t expand cat stack chunk split
split_with_sizes slice select index_select narrow pad constant_pad_nd clone contiguous detach
detach_ dropout alias sym_size to _to_copy
"""
_ROUNDINGS, _ATEN = (part.split() for part in _NAMES.split("\n\n"))
OPERATORS = {f"quantized_decomposed.{n}" for n in _ROUNDINGS} | {f"aten.{n}" for n in _ATEN}
PYTHON = {"getitem": operator.getitem, "mul": operator.mul, "floordiv": operator.floordiv}
DTYPES = ("float32", "float64", "int8", "uint8", "int32", "int64", "bool")


def write(program: Any) -> tuple[list[Any], dict[str, torch.Tensor]]:
    """Return the graph of an exported program as plain data, and the tensors that it reads.

    Raises:
        ValueError: an operator that files do not hold.
    """
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    held = {**program.state_dict, **program.constants}
    number: dict[fx.Node, int] = {}
    lines: list[Any] = []
    tensors: dict[str, torch.Tensor] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names and not node.users:
            continue  # (a weight before it was rounded)
        number[node] = len(lines)
        if node.op == "placeholder" and node.name in names:
            name = names[node.name]
            tensors[name] = held[name].detach()
            lines.append(["tensor", name])
        elif node.op == "placeholder":
            lines.append(["input"])
        elif node.op == "output":
            lines.append(["output", _plain(node.args[0], number)])
        else:
            kwargs = {k: _plain(v, number) for k, v in node.kwargs.items()}
            lines.append([_name(node), _plain(node.args, number), kwargs])
    return lines, tensors


def _name(node: fx.Node) -> str:
    for name, function in PYTHON.items():
        if node.target is function:
            return name
    found = str(node.target)
    if found.rpartition(".")[0] not in OPERATORS:
        raise ValueError(f"{found} is none of the operators that files of nets in int8 hold")
    return found


def _plain(value: Any, number: Mapping[fx.Node, int]) -> Any:
    if isinstance(value, fx.Node):
        return {"node": number[value]}
    if isinstance(value, tuple | list):
        return [_plain(each, number) for each in value]
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.memory_format | torch.device | torch.layout):
        return None  # (a hint, or the CPU)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"an argument of a graph is {type(value).__name__}, which files do not hold")


def read(lines: Any, tensors: Mapping[str, torch.Tensor]) -> fx.GraphModule:
    """Return the module of a graph; it takes a batch and answers a tuple.

    Raises:
        ValueError: says what is wrong with it.
    """
    try:
        return _read(lines, tensors)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its graph is damaged ({type(error).__name__}: {error})") from None


def _read(lines: Any, tensors: Mapping[str, torch.Tensor]) -> fx.GraphModule:
    graph, root, nodes = fx.Graph(), torch.nn.Module(), []
    for k, line in enumerate(lines):
        kind, *rest = line
        if kind == "input":
            nodes.append(graph.placeholder("x"))
        elif kind == "tensor":
            root.register_buffer(f"t{k}", tensors[rest[0]])
            nodes.append(graph.get_attr(f"t{k}"))
        elif kind == "output":
            nodes.append(graph.output(tuple(_back(rest[0], nodes))))
        else:
            args, kwargs = tuple(_back(rest[0], nodes)), _back(rest[1], nodes)
            nodes.append(graph.call_function(_operator(kind), args, kwargs))
    graph.lint()
    return fx.GraphModule(root, graph)


def _operator(name: str) -> Any:
    if name in PYTHON:
        return PYTHON[name]
    packet, _, overload = name.rpartition(".")
    if packet not in OPERATORS:
        raise ValueError(f"its graph asks for {name!r}, no operator of such files")
    space, _, short = packet.partition(".")
    found = getattr(getattr(getattr(torch.ops, space), short), overload)
    if not isinstance(found, torch._ops.OpOverload):
        raise ValueError(f"its graph asks for {name!r}, no operator of such files")
    return found


def _back(value: Any, nodes: list[fx.Node]) -> Any:
    if isinstance(value, list):
        return [_back(each, nodes) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"node"}:
        return nodes[value["node"]]
    if set(value) == {"dtype"} and value["dtype"] in DTYPES:
        return getattr(torch, value["dtype"])
    return {key: _back(each, nodes) for key, each in value.items()}
