"""`python -m benchmarks.coders`: the bytes of one net's whole numbers, by us and by others.

LeNet-300-100 is trained and pruned in steps; its weights share 2^bits values. The same whole
numbers (0 where nothing is, else which value) are then coded without loss:

ours        where weights are, and which values they have, in the file of compress.pack
deepcabac   the coder of the standard for neural networks (NNC), where nncodec is installed: of its
            settings the smallest, layer by layer
bz2, xz     a byte for each weight

Shared values, biases and headers are the same for all, and stand apart.
"""

import copy
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import nn

from benchmarks.telling import told
from compress import bake, pack, share
from compress.file.others import PRESSES
from compress.file.sizes import sizes
from compress.plans.deep import Deep
from compress.runs.deep import Run, shaped
from harness.data import load
from harness.record.provenance import collect

DEEP = Deep(densities=(0.08, 0.04, 0.02), bits=(4,), dense=4, each=6, sharing=1)
BITS = (2, 3, 4, 5)
UNARY, SCANS = (1, 2, 3, 5, 8, 11, 16), (0, 1, 2, 3, 4)  # what DeepCABAC may be set to


@dataclass(frozen=True)
class Options:
    """The bytes of one net's whole numbers, by us and by others."""

    data: str = "mnist"
    """What the net learns; embedded data (digits) does for a look."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def whole_numbers(net: nn.Module) -> Iterator[np.ndarray]:
    """Yield, for each weight matrix, which of its values each weight has; 0 is 0."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().numpy()
            values = np.union1d(np.unique(weight), [0.0])
            at = np.searchsorted(values, weight) - np.searchsorted(values, 0.0)
            yield np.ascontiguousarray(at, np.int32)


def deepcabac() -> Any:
    """Return nncodec's coder without the rest of it; None where it is not installed."""
    found = importlib.util.find_spec("nncodec")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for path in Path(folder, "extensions").glob("deepCABAC*.so"):
            spec = importlib.util.spec_from_file_location("deepCABAC", path)
            if spec is None or spec.loader is None:
                continue
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    return None


def cabac(module: Any, numbers: np.ndarray) -> int:
    """Return the fewest bytes that DeepCABAC takes for a matrix."""
    sizes_ = []
    for unary, option, scan in product(UNARY, (0, 1), SCANS):
        coder = module.Encoder()
        coder.initCtxModels(unary, option)
        rows = np.zeros(len(numbers), np.int32)
        off = module.HdspMode.AlwaysOff, np.zeros(2, np.int8)
        coder.encodeLayer(numbers, 0, scan, 0, 0, 0, rows, *off, 0, 0)
        sizes_.append(len(coder.finish()))
    return min(sizes_)


def coders() -> dict[str, Callable[[np.ndarray], int]]:
    """Return what the others make of a matrix of whole numbers."""
    presses = {name: PRESSES[name] for name in ("bz2", "xz")}
    found: dict[str, Callable[[np.ndarray], int]] = {
        name: lambda q, press=press: len(press(q.astype(np.int8).tobytes()))
        for name, press in presses.items()
    }
    module = deepcabac()
    return found if module is None else found | {"deepcabac": lambda q: cabac(module, q)}


def line(net: nn.Module, density: float, bits: int) -> dict[str, Any]:
    """Return the bytes of a net whose weights share values, by coder."""
    with tempfile.TemporaryDirectory() as folder:
        pack(net, Path(folder) / "net.iddlz", bits)
        told = sizes(Path(folder) / "net.iddlz")
    parts = told.whole().bytes
    ours = parts["where"] + parts["values"]
    found = {"name": f"{100 * density:g} %, {bits} bits", "file": told.total, "ours": ours}
    found["rest"] = told.total - ours
    matrices = [*whole_numbers(net)]
    return found | {name: sum(map(code, matrices)) for name, code in coders().items()}


def lines(config: Deep, data: Any, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a line for each density and number of bits."""
    run = Run(config, shaped(config, data), seed)
    for number in range(config.epochs):
        run.row(number, lambda share: None)
        for bits in BITS if number else ():
            net = copy.deepcopy(run.net)
            share(net, bits)
            bake(net)
            yield line(net, config.densities[number - 1], bits)


def main() -> int:
    """Train, code, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.coders")
    torch.set_num_threads(1)
    found = [*lines(DEEP, load(options.data))]
    document: dict[str, Any] = {"data": options.data, "lines": found, "provenance": collect()}
    return told(options, document, ["lines"])


if __name__ == "__main__":
    raise SystemExit(main())
