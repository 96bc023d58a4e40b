"""Identities of nets in int8: what is exported, what a file holds, integer sums against numpy.

Those with onnxruntime are shown where the extra `int8` is installed. In float64 a sum of so many
products in another order moves by so many roundings of the largest value, and no more.
"""

import copy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd import SparseConv2d, SparseLinear
from compress.identities import integers
from compress.int8 import archive, extras, graphs, norms
from compress.int8.plain import Plain
from compress.int8.quantize import opened, quantize
from harness.exits import attach
from harness.result.identity import Identity, apart, furthest, roundings

INPUTS, SIDE, CLASSES, SAMPLES = 24, 8, 5, 32
READ = """
import sys, torch
from compress import load_quantized
torch.save(load_quantized(sys.argv[1])(torch.load(sys.argv[2], weights_only=True)), sys.argv[3])
"""


class Block(nn.Module):
    """Two convolutions and what went in."""

    def __init__(self, channels: int, second: nn.Module):
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels, 3, padding=1), second
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps."""
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


def mlp() -> nn.Module:
    """Return a net of full layers and a sparse one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sparse = SparseLinear(32, 20, "random_biregular", seed=1)
        first, last = nn.Linear(INPUTS, 32), nn.Linear(20, CLASSES)
        return nn.Sequential(first, nn.ReLU(), sparse, nn.ReLU(), last).eval()


def conv(early: bool = False) -> nn.Module:
    """Return a net of convolutions with a norm, a shortcut, pooling, and perhaps an exit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sparse = SparseConv2d(8, 8, 3, padding=1, pattern="random_biregular", seed=1)
        stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
        net = nn.Sequential(stem, Block(8, sparse), nn.MaxPool2d(2), end)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                _stir(module)
        return attach(net, (1,), (3, SIDE, SIDE), CLASSES, "pool").eval() if early else net.eval()


@torch.no_grad()
def _stir(norm: Any) -> None:
    for value in (norm.running_mean, norm.bias):
        value.uniform_(-0.3, 0.3)
    for value in (norm.running_var, norm.weight):
        value.uniform_(0.5, 1.5)


NETS = {"MLP": mlp, "convolutions": conv, "exits": lambda: conv(early=True)}


def samples(net: nn.Module, seed: int = 1) -> torch.Tensor:
    """Return a batch that the net takes."""
    shape = (INPUTS,) if isinstance(next(net.children()), nn.Linear) else (3, SIDE, SIDE)
    g = torch.Generator().manual_seed(seed)
    return torch.randn(SAMPLES, *shape, generator=g)


def identities() -> Iterator[Identity]:
    """Yield the identities of int8."""
    for name, made in NETS.items():
        net = made().double()
        bound = roundings(_terms(net), _largest(net))
        title = f"what is exported = the net, {name}"
        yield Identity(title, "rounding", lambda net=net: exported(net), bound)
    if not extras.too_old():
        net = nn.Sequential(nn.BatchNorm2d(3), conv()).double()
        _stir(net[0])
        bound = roundings(_terms(net), _largest(net))
        title = "norms as products and sums = norms"
        yield Identity(title, "rounding", lambda: spread(net.eval()), bound)
        yield Identity("a graph's file = the graph", "bitwise", filed)
    yield Identity("an archive's tensors = those that it was made of", "bitwise", stored)
    yield Identity("flips of a byte that a file takes", "exact", flipped)
    if not extras.missing():
        yield from _with_the_extra()


def notes() -> list[str]:
    """Return what is not checked where the extra is missing."""
    missing = extras.missing()
    return [f"int8: identities of onnxruntime were not checked: {missing}"] if missing else []


def _with_the_extra() -> Iterator[Identity]:
    for name, made in NETS.items():
        title = f"onnxruntime's logits that integer sums do not allow, {name}"
        yield Identity(title, "exact", lambda made=made: outside(made()))
    for word in ("weight", "bias"):
        title = f"the same, told a {word} of each output that is off by one"
        yield Identity(title, "negative", lambda word=word: outside(mlp(), word))
    yield Identity("a file's logits = in another process", "bitwise", in_a_process)


def _terms(net: nn.Module) -> int:
    """Return how many numbers are added on the way to a logit, at most."""
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def _largest(net: nn.Module) -> float:
    """Return a bound of all that is added: the net of absolute values on absolute inputs."""
    net = copy.deepcopy(net)
    for p in net.parameters():
        p.abs_()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.neg_().clamp_(max=0)  # pyright: ignore
    return furthest(*[float(y.max()) for y in Plain(net)(samples(net).double().abs())])


@torch.no_grad()
def exported(net: nn.Module) -> float:
    """Compare the answers of a net with those of its copy with dense layers."""
    x = samples(net).double()
    answers: Any = net.forward_exits(x) if hasattr(net, "forward_exits") else [net(x)]  # pyright: ignore
    return furthest(*[apart(a, b) for a, b in zip(Plain(net)(x), answers, strict=True)])


@torch.no_grad()
def spread(net: nn.Module) -> float:
    """Compare a net with its graph without norms."""
    x = samples(net).double()
    plain = Plain(net)
    graph: Any = torch.export.export(plain, (x,)).module()
    count = norms.spread(graph)
    assert count == 2, f"{count} norms"
    return apart(graph(x)[0], plain(x)[0])


@torch.no_grad()
def filed() -> float:
    """Compare a graph with what is read from its file."""
    net = conv(early=True)
    x = samples(net)
    program = torch.export.export(Plain(net), (x,))
    lines, tensors = graphs.write(program)
    _, lines, tensors = archive.read(archive.write({}, lines, tensors))
    pairs = zip(graphs.read(lines, tensors)(x), program.module()(x), strict=True)
    return furthest(*[apart(a, b) for a, b in pairs])


def stored() -> float:
    """Compare tensors of every type, also empty ones and numbers alone, with their file's."""
    made = {}
    for k, kind in enumerate(archive.TYPES):
        values = torch.arange(-6, 6).to(getattr(torch, kind))
        made |= {f"{k}": values.view(3, 4), f"{k} one": values[0], f"{k} none": values[:0]}
    _, _, found = archive.read(archive.write({}, [], made))
    if list(found) != list(made) or any(found[k].dtype != t.dtype for k, t in made.items()):
        return float("inf")
    return float(sum(not torch.equal(found[k], t) for k, t in made.items()))


def flipped() -> float:
    """Count the bytes of a file that can be other ones, and what comes out is, too."""
    tensors = {"a": torch.arange(12, dtype=torch.int8), "b": torch.ones(2, 2)}
    content = archive.write({"how": "none"}, [["input"]], tensors)
    right, taken = str(archive.read(content)), 0
    for k in range(len(content)):
        try:
            found = archive.read(content[:k] + bytes([content[k] ^ 0x55]) + content[k + 1 :])
        except ValueError:
            continue
        taken += str(found) != right
    return float(taken)


def outside(net: nn.Module, wrong: str = "") -> float:
    """Count the logits that are not where integer sums put them.

    Args:
        net: What is made int8.
        wrong: What the oracle is told wrong, by one, of each output of the last layer.
    """
    made = quantize(net, samples(net, 2))
    x = samples(net)
    content = _off_by_one(made.content, wrong) if wrong else made.content
    pairs = zip(made.forward_exits(x), integers.logits(content, x.numpy()), strict=True)
    return float(sum(np.sum((y.numpy() < r.low) | (y.numpy() > r.high)) for y, r in pairs))


def _off_by_one(content: bytes, word: str) -> bytes:
    import onnx  # pyright: ignore[reportMissingImports]
    from onnx import numpy_helper  # pyright: ignore[reportMissingImports]

    model = onnx.load_from_string(content)
    chosen = [v for v in model.graph.initializer if v.name.endswith(f"{word}_quantized")][-1]
    values = numpy_helper.to_array(chosen).copy()
    first = values.reshape(len(values), -1)[:, 0]
    first += np.where(first > 0, -1, 1).astype(first.dtype)
    chosen.CopyFrom(numpy_helper.from_array(values, chosen.name))
    return model.SerializeToString()


def in_a_process() -> float:
    """Compare the logits of a file with those that another Python makes of it."""
    net = quantize(mlp(), samples(mlp(), 2))
    x = samples(mlp())
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("net.onnx", "x.pt", "y.pt")]
        net.save(paths[0])
        torch.save(x, paths[1])
        argv = [sys.executable, "-c", READ, *map(str, paths)]
        root = Path(__file__).resolve().parents[2]
        subprocess.run(argv, check=True, cwd=root, capture_output=True, timeout=300)
        return apart(torch.load(paths[2], weights_only=True), opened(net.content)(x))
