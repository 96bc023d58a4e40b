"""Makes a file of a trained net and judges what the file holds.

tried = coded(net, data, bits, passes)     share, train the shared values, pack, read back, test
tried["bytes"], tried["test_accuracy"]     of the very bits that are on the disk
"""

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.file.fold import fold
from compress.file.pack import pack, unpack
from compress.file.share import bake, share
from compress.file.sizes import PURPOSES, sizes
from compress.runs.passes import Passes, Plain, Told, tested
from harness.data import Data


def coded(
    net: nn.Module, data: Data, bits: int, tell: Told, *,
    epochs: int, batch_size: int, lr: float, momentum: float, seed: int, first: int,
    supersets: Any = None
) -> dict[str, Any]:  # fmt: skip
    """Return bytes by purpose and accuracy of a net whose weights share 2^bits values.

    Args:
        net: Stays as it is.
        data: What its shared values learn, and what it is tested on.
        bits: Of a shared value's number.
        tell: Is told the share that is done.
        epochs: Passes that train the shared values.
        batch_size: Samples per step.
        lr: Rate of these, which falls to 0.
        momentum: Of SGD.
        seed: Of the orders.
        first: The number of the first pass.
        supersets: As pack takes them.
    """
    net = copy.deepcopy(net)
    share(net, bits, gradient="mean")
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, fused=True)
    named: Any = dict(epochs=epochs, batch_size=batch_size, seed=seed, first=first)
    passes = Passes(net, data, Plain(optimizer), **named)
    for k in range(epochs):
        passes.run(lambda share, k=k: tell((k + share) / epochs))
    bake(net)
    return {"bits": bits} | written(net, data, bits, supersets=supersets)


def folded(net: nn.Module) -> nn.Module:
    """Return a copy of a net, for evaluation, whose batch norms are folded into layers.

    Of a net that is a row of stages these are followed: what it checks before them, a tracer
    cannot.
    """
    stages = getattr(net, "stages", None)
    if not isinstance(stages, nn.Module):
        return fold(net)
    made = copy.deepcopy(net)
    made.stages = fold(stages)
    return made.eval()


def written(net: nn.Module, data: Data, bits: int | None, **options: Any) -> dict[str, Any]:
    """Return bytes by purpose and accuracy of a net's file, as it is read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.iddlz"
        pack(net, path, bits, **options)
        unpack(path, net)
        told = sizes(path)
    whole = told.whole()
    loss, accuracy = tested(net, data)
    return {
        "bytes": told.total,
        "ratio": float(f"{told.dense / told.total:.4g}"),
        "kept": whole.kept,
        "test_accuracy": accuracy,
        "test_loss": float(f"{loss:.6g}"),
        "purposes": {purpose: whole.bytes[purpose] for purpose in PURPOSES},
    }
