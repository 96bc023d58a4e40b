"""Checks of packed nets: the file decodes to what pack returned, here and in another Python."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bibd import SparseLinear
from compress.file import pack, sizes
from compress.file.tensors import bytes_of
from harness.result.identity import furthest

READ = """
import sys, torch
from compress.file import pack
torch.save(pack.unpack(sys.argv[1]), sys.argv[2])
"""


def net() -> nn.Sequential:
    """Return a small pruned net with sparse layers, a norm and a tied weight."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, middle, last = nn.Linear(30, 20), nn.Linear(16, 16), nn.Linear(16, 16)
        sparse = SparseLinear(20, 16, "random_biregular", seed=1)
        with torch.no_grad():
            for layer in (first, middle):
                layer.weight.copy_(layer.weight * (torch.rand_like(layer.weight) < 0.2) + 0.0)
    last.weight = middle.weight
    return nn.Sequential(first, nn.BatchNorm1d(20), nn.ReLU(), sparse, nn.ReLU(), middle, last)


def apart(state: Any, other: Any) -> float:
    """Return how many tensors of two states are not the same bits."""
    if list(state) != list(other):
        return float("inf")
    return float(sum(bytes_of(state[k]) != bytes_of(other[k]) for k in state))


def through_file(width: int | None) -> float:
    """Compare what pack returns with what unpack reads."""
    with tempfile.TemporaryDirectory() as folder:
        packed = pack.pack(net(), Path(folder) / "net", width)
        loaded = net()
        found = pack.unpack(packed.path, loaded)
        return furthest(apart(packed.state, found), apart(packed.state, loaded.state_dict()))


def in_a_process() -> float:
    """Compare what pack returns with what another Python reads."""
    with tempfile.TemporaryDirectory() as folder:
        packed, back = pack.pack(net(), Path(folder) / "net", 3), Path(folder) / "state.pt"
        argv = [sys.executable, "-c", READ, str(packed.path), str(back)]
        root = Path(__file__).resolve().parents[2]
        subprocess.run(argv, check=True, cwd=root, capture_output=True, timeout=300)
        return apart(packed.state, torch.load(back, weights_only=True))


def again() -> float:
    """Count the bytes of a file that differ once its own state is packed."""
    with tempfile.TemporaryDirectory() as folder:
        first = pack.pack(net(), Path(folder) / "first", 3)
        second = pack.pack(first.into(net()), Path(folder) / "second", 3)
        return float(first.path.read_bytes() != second.path.read_bytes())


def own_weights() -> float:
    """Compare a net with what comes out of its file where no bits are spared."""
    with tempfile.TemporaryDirectory() as folder:
        return apart(net().state_dict(), pack.pack(net(), Path(folder) / "net", None).state)


def adding_up() -> float:
    """Return the bytes of a file that no layer and no purpose accounts for."""
    with tempfile.TemporaryDirectory() as folder:
        packed = pack.pack(net(), Path(folder) / "net", 3)
        found = sizes.sizes(packed.path)
        size = packed.path.stat().st_size
        sums = (found.total, found.whole().total, sum(row.total for row in found.layers))
        return furthest(*(abs(each - size) for each in sums))
