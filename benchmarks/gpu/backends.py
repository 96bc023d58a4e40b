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
from bibd import SparseConv2d, SparseLinear
from bibd.kernels.gpu import compile as compiling

FAST, MOST, SIZE = 2, 6000, 1024  # sizes: the most of a case, and that of the uses
CHANNELS = 256  # of convolutions
FINE = "bibd", "iddl", "random", "random_biregular", "bibd_dual"
TILED = "tiled-16", "tiled-32", "tiled-64", "tiled-128"
DTYPES = torch.float32, torch.bfloat16


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Random sizes and types of both backends, a seed each, then uses."""
    exact_sums()
    found: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for backend, count, make in (
        ("cuda", 10, case_of),
        ("triton", 8, case_of),
        ("triton", 12, images),
    ):
        kind = "convolution, " * (make is images)
        for seed in range(2 if small else count):
            case = partial(make, backend, seed, device)
            found.append((f"{kind}{backend} {seed} {str(DTYPES[seed % 2])[6:]}", case))
        for use in (compiled, captured, repeated, mapped):
            name, by = f"{kind}{backend}, {use.__name__}", (used_images if kind else used)
            found.append((name, partial(by, use, backend, device)))
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


def images(backend: str, seed: int, device: str) -> dict[str, Any]:
    """A convolution of random size, window, stride, groups and order of the axes."""
    rng = np.random.default_rng(3000 + seed)
    dtype, side = DTYPES[seed % 2], int(TILED[seed // 2 % len(TILED)].split("-")[1])
    groups, window, stride = (int(rng.choice(c)) for c in ((1, 1, 2), (1, 3), (1, 2)))
    inputs, outputs = (side * groups * int(n) for n in rng.integers(3, 7, 2))
    batch, high, wide = int(rng.integers(1, 40)), *(int(n) for n in rng.integers(3, 17, 2))
    layer = SparseConv2d(
        inputs, outputs, window, stride, window // 2, groups=groups, pattern=f"tiled-{side}",
        seed=seed, bias=bool(rng.integers(2)), backend=backend, device=device, dtype=dtype,
    )  # fmt: skip
    x = torch.from_numpy(rng.standard_normal((batch, inputs, high, wide))).to(device, dtype)
    if seed // 2 % 2:
        x = x.contiguous(memory_format=torch.channels_last)
    twin = partial(F.conv2d, stride=stride, padding=window // 2, groups=groups)
    terms = max(window**2 * max(inputs, outputs) // groups, batch * high * wide)
    said = f"tiled-{side} {inputs}-{outputs}, {window}x{window}/{stride}, groups {groups}, {batch}"
    return {"what": said} | compare(layer, twin, x, terms, FAST)


def used_images(use: Callable, backend: str, device: str) -> dict[str, Any]:
    """As used, for a convolution."""
    for dtype in DTYPES[: 1 if use is compiled else 2]:
        torch.manual_seed(0)
        layer = SparseConv2d(
            CHANNELS, CHANNELS, 3, padding=1, pattern=f"tiled-{CHANNELS // 4}", backend=backend,
            device=device, dtype=dtype,
        )  # fmt: skip
        use(layer, torch.randn(10, CHANNELS, 8, 8, device=device, dtype=dtype))
    return {}


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
