"""What a layer takes in the page that reads digits, letter by letter (mlp.web.packed).

    base64(n)     4 ceil(n / 3)    letters for n bytes
    values        base64(4 V)      V connections in float32; base64(V) in int8
    scales        base64(4 o)      int8 only: one for each of o outputs
    columns       base64(2 V)      sparse only: which input each value belongs to
    counts        base64(2 o)      sparse only: how many values an output has
    bias          base64(4 o)

A dense layer has V = inputs x outputs and says no places. A sparse float32 value costs 6 bytes
instead of 4, so a sparse layer is smaller where fewer than two thirds of the weights are left; in
int8 it costs 3 instead of 1, and only a third may be left.
"""

from typing import Any

from torch import nn

from bibd import SparseLinear


def base64(size: int) -> int:
    """Return the letters that so many bytes take."""
    return 4 * -(-size // 3)


def letters(outputs: int, connections: int, sparse: bool, int8: bool) -> int:
    """Return the letters of a layer with a bias."""
    values = connections if int8 else 4 * connections
    parts = [values, 4 * outputs]
    if sparse:
        parts += [2 * connections, 2 * outputs]
    if int8:
        parts += [4 * outputs]
    return sum(map(base64, parts))


def of_net(net: nn.Module, int8: bool) -> int:
    """Return the letters of all linear layers of a net."""
    layers: list[Any] = [m for m in net.modules() if isinstance(m, nn.Linear | SparseLinear)]
    return sum(
        letters(m.out_features, m.weight.numel(), isinstance(m, SparseLinear), int8) for m in layers
    )


def counted(packed: dict[str, Any]) -> int:
    """Return the letters that are there: of all stages and heads of a packed net."""
    layers = [layer for part in packed.values() for layer in part if layer]
    return sum(len(v) for layer in layers for v in layer.values() if isinstance(v, str))
