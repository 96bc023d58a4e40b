"""What the page computes for a picture, in Python: reads the same text, multiplies the same values.

    stage by stage:   y_o = bias_o + sum of value_k * x[column_k], over the values of output o
    after a stage:    max(y, 0); if it has a head, its logits answer where they are sure enough

The twin of `opened`, `product` and `answer` in mlp/web/digit.js; it counts each product.
"""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.exits.leaving import leaves
from primer.count import counting, plus, times


class Layer(NamedTuple):
    """Values, the input and the output of each, and biases."""

    values: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    bias: np.ndarray


class Answer(NamedTuple):
    """Logits, the number of the exit that gave them, and the multiply-adds until there."""

    logits: np.ndarray
    exit: int
    macs: int


def opened(packed: dict[str, Any]) -> Layer:
    """Return the layer that a page's text holds."""
    outputs, inputs = packed["outputs"], packed["inputs"]
    if "counts" in packed:
        counts, columns = _read(packed["counts"], "<u2"), _read(packed["columns"], "<u2")
    else:
        counts, columns = np.full(outputs, inputs), np.tile(np.arange(inputs), outputs)
    rows = np.repeat(np.arange(outputs), counts)
    if "scales" in packed:
        values = _read(packed["values"], "i1") * _read(packed["scales"], "<f4")[rows]
    else:
        values = _read(packed["values"], "<f4")
    return Layer(values, columns, rows, _read(packed["bias"], "<f4"))


def _read(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), kind)


def product(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Return what a layer makes of its input; each value is multiplied once."""
    terms = times(layer.values, x[layer.columns])
    sums = np.bincount(layer.rows, terms, len(layer.bias))
    return plus(sums, layer.bias)


def answer(stages: Sequence[Layer], heads: Sequence[Layer | None], x, bound: float) -> Answer:
    """Return the answer of the first exit that is sure enough, as the page does."""
    exits = 0
    with counting() as count:
        for stage, head in zip(stages[:-1], heads[:-1], strict=True):
            x = np.maximum(product(stage, x), 0)
            if head is None:
                continue
            logits = product(head, x)
            if leaves(shares(logits).max(), bound):
                return Answer(logits, exits, count.macs)
            exits += 1
        return Answer(product(stages[-1], x), exits, count.macs)


def shares(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of a softmax."""
    e = np.exp(logits - logits.max())
    return e / e.sum()
