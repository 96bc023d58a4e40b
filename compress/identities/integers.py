"""What a net in int8 must answer, in integers: an oracle for ONNX files, in plain numpy.

    q            uint8 or int8            sums    int32, exact: held in int64, and looked at
    (q - z) s    what it stands for       round   to the nearest even integer, clipped

Between two layers a sum is scaled and rounded. A library scales in float32, in an order of its own:
at most ROUNDINGS roundings of 2^-24 of what is added. Where that leaves open to which of two
integers a value goes, both are carried on: each logit has a least and a largest value.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

ROUNDINGS = 8  # sum to float, two products of scales, a quotient, product, zero point, and to spare
HALF_ULP = 2.0**-24


class Whole(NamedTuple):
    """Integers, less their zero points, between `low` and `high`; each stands for `scale` times."""

    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray

    def real(self) -> "Real":
        """Return what they stand for."""
        return Real(self.low * self.scale, self.high * self.scale)


class Real(NamedTuple):
    """Numbers between `low` and `high`."""

    low: np.ndarray
    high: np.ndarray

    def wider(self, size: Any, roundings: float = ROUNDINGS) -> "Real":
        """Return what float32 may make of it, where numbers of this size were added."""
        more = roundings * HALF_ULP * size
        return Real(self.low - more, self.high + more)

    @property
    def size(self) -> np.ndarray:
        """The largest absolute values."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def logits(content: bytes, x: np.ndarray) -> list[Real]:
    """Return between which values each logit of a file's net lies.

    Args:
        content: An ONNX file of compress.quantize.
        x: Samples.

    Raises:
        ValueError: a node that this oracle does not know.
    """
    import onnx  # pyright: ignore[reportMissingImports]
    from onnx import numpy_helper  # pyright: ignore[reportMissingImports]

    graph = onnx.load_from_string(content).graph
    found: dict[str, Any] = {v.name: numpy_helper.to_array(v) for v in graph.initializer}
    given = x.astype(np.float64)
    found[graph.input[0].name] = Real(given, given)
    for node in graph.node:
        known = NODES.get(node.op_type)
        if known is None:
            raise ValueError(f"the oracle knows no {node.op_type}")
        how = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        found[node.output[0]] = known([found[name] for name in node.input], how)
    ends = [found[output.name] for output in graph.output]
    return [end.real() if isinstance(end, Whole) else end for end in ends]


def _round(inputs: list[Any], how: dict[str, Any]) -> np.ndarray:
    """Return integers as [low, high]; _stand makes Whole of them."""
    x, scale, zero = inputs
    x = x.real() if isinstance(x, Whole) else x
    x = x.wider(x.size)
    ends = np.iinfo(zero.dtype)
    both = np.stack([x.low, x.high]) / np.float64(scale)
    return np.clip(np.rint(both) + int(zero), ends.min, ends.max).astype(np.int64)


def _stand(inputs: list[Any], how: dict[str, Any]) -> Whole:
    q, scale, zero = (*inputs, np.zeros(1, np.int64))[:3]  # (biases begin at 0)
    scale = np.asarray(scale, dtype=np.float64)
    if scale.ndim:  # (weights and biases: a scale for each output, and one value)
        whole = q.astype(np.int64) - zero.reshape(-1, *[1] * (q.ndim - 1))
        return Whole(whole, whole, scale)
    return Whole(q[0] - int(zero), q[1] - int(zero), scale)


def _products(x: Whole, weight: Whole, bias: Whole | None) -> Real:
    """Return x w + b for rows of x and columns of w: sums of integers, then their scales."""
    w = weight.low.reshape(len(weight.low), -1).T
    up, down = np.maximum(w, 0), np.minimum(w, 0)
    low, high = x.low @ up + x.high @ down, x.high @ up + x.low @ down
    if bias is not None:
        low, high = low + bias.low, high + bias.low
    assert max(np.abs(low).max(), np.abs(high).max()) < 2**31, "a sum does not fit int32"
    scale = x.scale * weight.scale
    found = Real(low * scale, high * scale)
    return found.wider(found.size)


def _gemm(inputs: list[Any], how: dict[str, Any]) -> Real:
    if (how.get("transB"), how.get("transA", 0), how.get("alpha", 1.0)) != (1, 0, 1.0):
        raise ValueError(f"the oracle knows x W' + b only, got {how}")
    return _products(inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None)


def _conv(inputs: list[Any], how: dict[str, Any]) -> Real:
    x, weight, *bias = inputs
    if how.get("group", 1) != 1 or set(how.get("dilations", [1])) != {1}:
        raise ValueError("the oracle knows convolutions without groups and dilation")
    parts = [_patches(values, how) for values in (x.low, x.high)]
    n, rows, columns = parts[0].shape[:3]
    low, high = (part.reshape(n * rows * columns, -1) for part in parts)
    found = _products(Whole(low, high, x.scale), weight, bias[0] if bias else None)
    return Real(*(v.reshape(n, rows, columns, -1).transpose(0, 3, 1, 2) for v in found))


def _patches(values: np.ndarray, how: dict[str, Any], fill: int = 0) -> np.ndarray:
    """Return (samples, rows, columns, channels, height, width): what each window sees."""
    top, left, bottom, right = how.get("pads", [0, 0, 0, 0])
    values = np.pad(values, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=fill)
    down, across = how["strides"]
    windows = sliding_window_view(values, tuple(how["kernel_shape"]), (2, 3))
    return windows[:, :, ::down, ::across].transpose(0, 2, 3, 1, 4, 5)


def _largest(inputs: list[Any], how: dict[str, Any]) -> Whole:
    (x,) = inputs
    least = -(2**31)
    low, high = (_patches(v, how, least).max((4, 5)) for v in (x.low, x.high))
    return Whole(low.transpose(0, 3, 1, 2), high.transpose(0, 3, 1, 2), x.scale)


def _add(inputs: list[Any], how: dict[str, Any]) -> Real:
    a, b = (each.real() if isinstance(each, Whole) else each for each in inputs)
    return Real(a.low + b.low, a.high + b.high).wider(a.size + b.size)


def _relu(inputs: list[Any], how: dict[str, Any]) -> Real:
    x = inputs[0].real() if isinstance(inputs[0], Whole) else inputs[0]
    return Real(np.maximum(x.low, 0), np.maximum(x.high, 0))


def _mean(inputs: list[Any], how: dict[str, Any]) -> Real:
    x = inputs[0].real() if isinstance(inputs[0], Whole) else inputs[0]
    axes = tuple(int(axis) for axis in inputs[1])
    named: Any = dict(axis=axes, keepdims=bool(how.get("keepdims", 1)))
    terms = prod(x.low.shape[axis] for axis in axes)
    found = Real(x.low.mean(**named), x.high.mean(**named))
    return found.wider(x.size.mean(**named), ROUNDINGS + terms)


def _reshape(inputs: list[Any], how: dict[str, Any]) -> Any:
    x, shape = inputs
    if isinstance(x, Whole):
        return Whole(x.low.reshape(shape), x.high.reshape(shape), x.scale)
    return Real(x.low.reshape(shape), x.high.reshape(shape))


NODES = {
    "QuantizeLinear": _round,
    "DequantizeLinear": _stand,
    "Gemm": _gemm,
    "Conv": _conv,
    "MaxPool": _largest,
    "Add": _add,
    "Relu": _relu,
    "ReduceMean": _mean,
    "Reshape": _reshape,
}
