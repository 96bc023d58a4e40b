"""The card's own backends, asked for by name, beside the float64 twin; and what torch does to them.

Tensor cores cut where others round, so that the unit of a sum is twice that of float32: FAST. A
call that went the dense way after all is a failure here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.twins import compare, exact_sums
from bibd import SparseLinear
from bibd.kernels.gpu import compile as compiling

FAST, MOST, SIZE = 2, 6000, 1024  # sizes: the most of a case, and that of the uses
FINE = "bibd", "iddl", "random", "random_biregular", "bibd_dual"
TILED = "tiled-16", "tiled-32", "tiled-64", "tiled-128"
DTYPES = torch.float32, torch.bfloat16


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Random sizes and types of both backends, a seed each, then uses."""
    exact_sums()
    found: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for backend, count in (("cuda", 10), ("triton", 8)):
        for seed in range(2 if small else count):
            case = partial(case_of, backend, seed, device)
            found.append((f"{backend} {seed} {str(DTYPES[seed % 2])[6:]}", case))
        for use in (compiled, captured, repeated, mapped):
            found.append((f"{backend}, {use.__name__}", partial(used, use, backend, device)))
    return [(name, partial(on_a_card, device, call)) for name, call in found]


def on_a_card(device: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a check with the backends themselves.

    Raises:
        AssertionError: the dense path did the work.
    """
    if device == "cpu":
        return {"skipped": "backends 'cuda' and 'triton' need a card"}
    before = set(compiling._said)
    found = call()
    new = compiling._said - before
    assert not new, f"the dense path did the work: {new}"
    return found


def case_of(backend: str, seed: int, device: str) -> dict[str, Any]:
    """A layer of random size, with edges that are not full."""
    rng = np.random.default_rng(2000 + seed)
    dtype = DTYPES[seed % 2]
    if backend == "triton":
        pattern = TILED[seed // 2 % len(TILED)]
        inputs, outputs = (int(pattern.split("-")[1]) * int(n) for n in rng.integers(4, 12, 2))
    else:
        pattern = FINE[seed % len(FINE)]
        inputs, outputs = (int(n) for n in rng.integers(64, MOST, 2))
    batch, bias = int(rng.integers(1, 700)), bool(rng.integers(2))
    made: Any = dict(seed=seed, bias=bias, backend=backend, device=device, dtype=dtype)
    layer = SparseLinear(inputs, outputs, pattern, **made)
    x = torch.from_numpy(rng.standard_normal((batch, inputs))).to(device, dtype)
    terms, said = max(inputs, outputs, batch), f"{pattern} {inputs}-{outputs}, {batch}"
    return {"what": said} | compare(layer, F.linear, x, terms, FAST)


def used(use: Callable, backend: str, device: str) -> dict[str, Any]:
    """One use with both types; torch.compile, which takes long, with one."""
    pattern = "tiled-64" if backend == "triton" else "bibd"
    for dtype in DTYPES[: 1 if use is compiled else 2]:
        torch.manual_seed(0)
        layer = SparseLinear(SIZE, SIZE, pattern, backend=backend, device=device, dtype=dtype)
        use(layer, torch.randn(100, SIZE, device=device, dtype=dtype))
    return {}


def step(layer: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Output and gradients."""
    x = x.detach().requires_grad_()
    y = layer(x)
    return [y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], y.detach())]


def compiled(layer: Any, x: torch.Tensor) -> None:
    """torch.compile gives the same bits, but for the bias, which is added in another kernel."""
    fast = torch.compile(layer, fullgraph=True)
    for got, known in zip(step(fast, x), step(layer, x), strict=True):
        torch.testing.assert_close(got, known)


def captured(layer: Any, x: torch.Tensor) -> None:
    """A training step as a CUDA graph gives the same bits, also for new numbers."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # (which makes tables and kernels)
        step(layer, x)
    torch.cuda.current_stream().wait_stream(side)
    graph, still = torch.cuda.CUDAGraph(), x.clone()
    with torch.cuda.graph(graph):
        held = step(layer, still)
    for numbers in (x, -2 * x):
        still.copy_(numbers)
        graph.replay()
        same(held, step(layer, numbers))


def repeated(layer: Any, x: torch.Tensor) -> None:
    """The same call gives the same bits."""
    first = step(layer, x)
    for _ in range(3):
        same(first, step(layer, x))


def mapped(layer: Any, x: torch.Tensor) -> None:
    """torch.vmap over values is the loop, to the bit."""
    values = torch.stack([layer.weight, -layer.weight]).detach()

    def call(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": layer.bias}, (x,))

    same(list(torch.vmap(call)(values)), [call(weight) for weight in values])


def same(got: list[torch.Tensor], known: list[torch.Tensor]) -> None:
    """Hold tensors to the bit.

    Raises:
        AssertionError: two differ.
    """
    for a, b in zip(got, known, strict=True):
        assert torch.equal(a, b), f"largest difference {float((a - b).abs().max()):.3g}"
