"""Static int8 through ONNX: torch.onnx exports, onnxruntime finds ranges, rounds and runs.

    weights       int8, symmetric, a scale for each output     (7 bits where 8 may overflow)
    activations   uint8, a scale and a zero point for each map, from the least and largest value
    sums          int32; biases too, in units of (scale of the input) x (scale of the weight)
    logits        float32: the last layer's sums are not rounded again

Batch norms go into the convolutions before them, ReLUs into the ranges. The file is plain ONNX with
QuantizeLinear and DequantizeLinear, which others can run.
"""

import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bibd.onnx.exported import exported as onnx_of
from bibd.onnx.exported import strip
from bibd.onnx.extras import first_line, session
from compress.int8.asked import Asked
from compress.int8.extras import load, overflows, quiet
from compress.int8.quantized import Facts, Quantized

FACTS, CHECK, INPUT = "iddl.int8", "iddl.crc32", "x"
ZEROS = "bias_quantized_zero_point"
BATCH = 64  # samples at a time while ranges are found


def make(asked: Asked, how: str, **_: Any) -> bytes:
    """Return the file of a net.

    Raises:
        ImportError: the extra is not installed.
        ValueError: a net that torch.export cannot follow.
    """
    model = exported(asked)
    bits = 7 if overflows() else 8
    model = _quantised(model, asked, reduced=bits < 8)
    _unround_logits(model)
    _strip(model)
    facts = Facts(how, tuple(asked.x.shape[1:]), asked.classes, bits, asked.notes)
    return sealed(model, json.dumps(facts._asdict()))


def exported(asked: Asked) -> Any:
    """Return the net as an ONNX model in float32, for any number of samples."""
    load("onnx", "onnxscript")
    named = type(asked.net.net).__name__
    return onnx_of(asked.net, (asked.example,), [INPUT], called=named)


def _quantised(model: Any, asked: Asked, reduced: bool) -> Any:
    onnx, q = load("onnx", "onnxruntime.quantization")
    types = dict(activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "net.onnx"
        source = _reader(q, asked.x)
        q.quantize_static(model, path, source, per_channel=True, reduce_range=reduced, **types)
        return onnx.load(path)


def _reader(q: Any, x: torch.Tensor) -> Any:
    class Reader(q.CalibrationDataReader):
        """Hands out batches of samples."""

        def __init__(self):
            self.batches: Iterator[torch.Tensor] = iter(x.split(BATCH))

        def get_next(self):
            """Return the next batch by the input's name; None at the end."""
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.contiguous().numpy()}

    return Reader()


def _unround_logits(model: Any) -> None:
    """Let the layers before the outputs answer their sums in float32: no ties between classes."""
    made = {name: node for node in model.graph.node for name in node.output}
    for output in model.graph.output:
        back = made[output.name]
        there = made.get(back.input[0])
        if back.op_type != "DequantizeLinear" or there is None:
            continue
        between = {back.input[0], output.name}
        if [n for n in model.graph.node if between & set(n.input)] == [back]:
            layer = made[there.input[0]]
            layer.output[:] = [output.name if o == there.input[0] else o for o in layer.output]
            model.graph.node.remove(back)
            model.graph.node.remove(there)


def _strip(model: Any) -> None:
    """Drop what nobody runs, the zeros that biases begin at among it."""
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[2:] and node.input[2].endswith(ZEROS):
            del node.input[2]
    strip(model)


def sealed(model: Any, facts: str) -> bytes:
    """Return the file of a model: its bytes, and their checksum as one more entry of it."""
    entry = model.metadata_props.add()
    entry.key, entry.value = FACTS, facts
    body = model.SerializeToString()
    return body + _seal(body)


def _seal(body: bytes) -> bytes:
    """Return a model of nothing but a checksum: models one after the other are read as one."""
    (onnx,) = load("onnx")
    last = onnx.ModelProto()
    entry = last.metadata_props.add()
    entry.key, entry.value = CHECK, f"{zlib.crc32(body):010}"
    return last.SerializeToString()


def read(content: bytes) -> "OnnxNet":
    """Return the net in a file.

    Raises:
        ImportError: the extra is not installed.
        ValueError: says what is wrong with the file.
    """
    onnx, _ = load("onnx", "onnxruntime")
    try:
        said = {e.key: e.value for e in onnx.load_from_string(content).metadata_props}
    except Exception as error:
        raise ValueError(f"it is damaged, or no ONNX model ({first_line(error)})") from None
    if FACTS not in said:
        raise ValueError("it is no file of compress.quantize: run it with onnxruntime itself")
    body = content[: -len(_seal(b""))]
    if content != body + _seal(body):
        raise ValueError("it is damaged: its checksum does not fit")
    return OnnxNet(content, Facts.read(json.loads(said[FACTS])))


class OnnxNet(Quantized):
    """A net that onnxruntime runs, with as many threads as torch has."""

    def __init__(self, content: bytes, facts: Facts):
        super().__init__(content, facts)
        self._threads, self._session = 0, None
        self._open()

    def _open(self) -> None:
        if self._threads != torch.get_num_threads():
            self._threads = torch.get_num_threads()
            self._session: Any = session(self.content, self._threads)

    def _answer(self, x: torch.Tensor) -> list[torch.Tensor]:
        self._open()
        found: list[np.ndarray] = self._session.run(None, {INPUT: x.contiguous().numpy()})
        return [torch.from_numpy(y) for y in found]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_session": None, "_threads": 0}
