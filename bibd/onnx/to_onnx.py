"""`bibd.to_onnx(net, x, "net.onnx")`: a net with sparse layers as a file that any runtime reads.

    x = torch.randn(8, 784)
    print(bibd.to_onnx(net, x, "net.onnx"))
    session = onnxruntime.InferenceSession("net.onnx")
    (y,) = session.run(None, {"x": x.numpy()})

The file is smaller, not faster: runtimes put the values into full weights as they load it, and
multiply densely.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bibd.layer import one_of
from bibd.onnx import cut
from bibd.onnx.dense import densify
from bibd.onnx.exported import exported, strip
from bibd.onnx.report import Report
from bibd.onnx.weights import Stored, put

EXITS = ("all", "if", "split")


def to_onnx(
    module: nn.Module,
    example: torch.Tensor | tuple[torch.Tensor, ...],
    path: str | Path,
    exits: str = "",
    thresholds: float | Sequence[float] | None = None,
) -> Report:
    """Write a net in evaluation as a file in ONNX, with the connections of its sparse layers.

    Inputs are called "x" (or "x0", "x1", ...), outputs "y", or "logits", "exit" and "score".

    Args:
        module: A net on any device; it is copied, and the copy put into evaluation.
        example: A batch as the net takes it, or a tuple of them; the file takes any number of
            samples.
        path: The file to be written.
        exits: What becomes of early exits, for a net that has `at_exits` (harness.exits). "": the
            net without them; "all": the logits of all exits; "if": one sample at a time, which
            leaves where it is sure; "split": a file for each part, FILE.0.onnx for the device and
            those that follow for where samples go that are not sure.
        thresholds: When a sample is sure, for "if" and "split": one for each early exit, or one
            for all.

    Returns:
        What was written, layer by layer; print it for the table.

    Raises:
        ImportError: the extra is not installed; has the line to type.
        OSError: a file that cannot be written.
        ValueError: a net that cannot be exported, or settings that do not fit.
    """
    if exits:
        one_of("exits", exits, EXITS)
    if (exits in ("if", "split")) != (thresholds is not None):
        raise ValueError(
            f"thresholds= are for exits='if' and 'split', which need them; got exits={exits!r} and "
            f"thresholds={thresholds!r}"
        )
    x = _samples(example)
    called = type(module).__name__
    net = copy.deepcopy(module).cpu().eval()
    net, outputs = cut.asked(net, x, exits, thresholds)
    layers = {f"{name}.weight": m for name, m in densify(net).items()}
    weights = {name: net.get_parameter(name).detach() for name in layers}
    inputs = ["x"] if len(x) == 1 else [f"x{i}" for i in range(len(x))]
    model = exported(net, x, inputs, outputs, weights, called)
    stored = put(model, layers)
    strip(model)
    return _written(model, Path(path), exits, stored)


def _samples(example: Any) -> tuple[torch.Tensor, ...]:
    """Return inputs of two samples each, also where there is but one.

    Raises:
        ValueError: no batches.
    """
    given = example if isinstance(example, tuple) else (example,)
    for x in given:
        if not isinstance(x, torch.Tensor) or not x.ndim or not len(x):
            got = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise ValueError(
                f"example is a batch as the net takes it, or a tuple of them; got {got}"
            )
    return tuple(x.detach().cpu()[[0, -1]] for x in given)


def _written(model: Any, path: Path, exits: str, stored: list[Stored]) -> Report:
    parts = {path: model}
    if exits == "if":
        parts = {path: cut.leaving(model)}
    elif exits == "split":
        pieces = cut.pieces(model)
        parts = {path.with_suffix(f".{i}{path.suffix}"): part for i, part in enumerate(pieces)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, part in parts.items():
            file.write_bytes(part.SerializeToString())
    except OSError as error:
        said = f"could not write {path}: {error.strerror}; name another file, such as net.onnx"
        raise OSError(error.errno, said) from None
    return Report(
        {str(file): file.stat().st_size for file in parts},
        max(o.version for o in model.opset_import if not o.domain),
        tuple(stored),
    )
