"""Sparse layers through `auto` beside dense ones: where which path is taken, and what it gains.

A line has size (inputs and outputs), pattern, batch, type, whether there is a backward pass, the
path that `auto` took, milliseconds of the layer and of nn.Linear as users call them (eager, several
calls in a row), and their ratio. `auto` measures and checks as it meets a case. `replayed` has the
same by events as CUDA graphs, where no launch is waited for: nn.Linear, the layer's dense path, and
its kernel. Float32 is float32: TF32 is off, as torch has it.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import Any

import torch
from torch import nn

import bibd
from benchmarks.gpu.clock import ROUNDS, timed
from bibd import SparseLinear
from bibd.kernels import card, measure
from bibd.kernels.gpu import compile as compiling
from bibd.pattern import Pattern, make_pattern

SIZES, BATCHES = (16384, 8192, 4096, 1024), (4096, 512, 64)  # the longest first
PATTERNS = "bibd", "tiled-64"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
LARGE = 16384  # in bf16 only: in float32 a step of nn.Linear alone takes an eighth of a second
DENSE = "nn.Linear"


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """One line for each case; small: what a processor does in no time."""
    sizes, batches = ((256,), (32,)) if small else (SIZES, BATCHES)
    patterns = ("bibd", "tiled-16") if small else PATTERNS
    found = []
    for size, pattern, dtype in product(sizes, patterns, DTYPES):
        for batch, train in product(batches if (size, dtype) != (LARGE, "fp32") else (), (0, 1)):
            name = f"{pattern} {size}, {batch}, {dtype}{', training' * train}"
            found.append((name, partial(case, size, pattern, batch, dtype, bool(train), device)))
    return found


def case(
    size: int, pattern: str, batch: int, dtype: str, train: bool, device: str
) -> dict[str, Any]:
    """One layer beside nn.Linear."""
    made: Any = dict(device=device, dtype=DTYPES[dtype])
    layer = SparseLinear(size, size, drawn(pattern, size), **made)
    dense = nn.Linear(size, size, **made)
    x = torch.randn(batch, size, requires_grad=train, **made)
    with torch.set_grad_enabled(train):
        path = layer.path(x)
        ours, theirs = (milliseconds(module, x, train) for module in (layer, dense))
        kernel = "triton" if pattern.startswith("tiled") else "cuda"
        ways = ["dense", kernel] if device == "cuda" else ["dense"]
        again = dict(replayed(layer, ways, dense, x, train))
        with bibd.replayed():
            chosen = layer.path(x)
    named = {"size": size, "pattern": pattern, "batch": batch, "dtype": dtype, "train": train}
    terms = round(layer.pattern.nonzeros / size, 1)
    found = {"terms": terms, "path": path, "ms": ours, "dense ms": theirs}
    found |= {"ratio": round(theirs / ours, 3), "replayed": again, "replayed path": chosen}
    return named | found


@cache
def drawn(pattern: str, size: int) -> Pattern:
    """The pattern of a size, which lines share."""
    return make_pattern(pattern, size, size)


def milliseconds(module: nn.Module, x: torch.Tensor, train: bool) -> float:
    """The shortest of some rounds of calls."""
    call = partial(once, module, x, train)
    clock = card.clock if card.on_card(x) else measure.clocked
    return round(1e3 * min(clock(call) for _ in range(ROUNDS)), 5)


def replayed(
    layer: Any, ways: list[str], dense: nn.Module, x: torch.Tensor, train: bool, name: str = DENSE
) -> Iterator[tuple[str, float]]:
    """Milliseconds of each way by events; a kernel that does not take the case has none."""
    device = x.device.type
    yield name, timed(lambda _: once(dense, x, train), device)
    before = set(compiling._said)
    for layer.backend in ways:
        compiling._said.clear()  # (what was said of another case is said again)
        ms = timed(lambda _: once(layer, x, train), device)
        if not compiling._said:
            yield layer.backend, ms
        before |= compiling._said
    compiling._said.update(before)


def once(module: nn.Module, x: torch.Tensor, train: bool) -> None:
    """One call, with its backward pass if there is training."""
    y = module(x)
    if train:
        torch.autograd.grad(y, [x, *module.parameters()], y.detach())


def fastest(line: dict[str, Any]) -> tuple[str, float] | None:
    """The fastest path of a line as a CUDA graph, and how many times longer nn.Linear takes."""
    ms = dict(line.get("replayed") or {})
    dense = ms.pop(DENSE, None)
    if dense is None or not ms:
        return None
    path = min(ms, key=lambda name: ms[name])
    return path, dense / ms[path]
