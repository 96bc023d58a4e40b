"""Sparse layers against masked dense twins in float64, and against what torch does with modules.

Of a layer y = x W^T + b with an outer gradient g, all of y, dx, dW, db are sums of products. A sum
of n products in arithmetic of unit u, its result rounded to a type of unit v, is off by at most

    (gamma(n + 4) + 2 v) S + eta      gamma(m) = m u / (1 - m u)      S: the sum of absolute values

in whatever order it is made (Higham, Accuracy and Stability, 3.1 and 4.2; the four more are bias,
scatter and scaling, eta the smallest step of the type). S is what the same twin gives of |x|, |W|,
|b|, |g|. cuDNN may make a 3 x 3 convolution of stride 1 by Winograd's transforms, whose bound is
larger by the norms of three matrices: WINOGRAD.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.gpu.modules import module_checks
from bibd import BibdLinear, SparseConv2d, SparseLinear

PATTERNS = ("bibd", "iddl", "random", "random_biregular", "tiled", "block_diagonal", "bibd_dual")
WINOGRAD = (19 * 1 * 10) ** 2  # norms of A, G, B of F(4 x 4, 3 x 3), in both directions
ACCUMULATES = {torch.float64: torch.float64}  # else in float32
Checks = list[tuple[str, Callable[[], dict[str, Any]]]]


def checks(device: str, small: bool) -> Checks:
    """Random shapes, patterns and types, a seed each."""
    exact_sums()
    dtypes = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
    counts = (8, 4) if small else (40, 24)
    found: Checks = []
    for kind, count in zip((linear_case, conv_case), counts, strict=True):
        for seed in range(count):
            dtype = dtypes[seed % 4]
            case = partial(kind, seed, dtype, device, 64 if small else 1024)
            found.append((f"{kind.__name__} {seed} {str(dtype)[6:]}", case))
    return found + module_checks(device, small)


def exact_sums() -> None:
    """No TF32, no halves as partial sums: what the bound stands on."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cudnn.benchmark = False


def linear_case(seed: int, dtype: torch.dtype, device: str, most: int) -> dict[str, Any]:
    """A linear layer of random size."""
    rng = np.random.default_rng(seed)
    inputs, outputs = (4 * int(n) for n in rng.integers(4, most // 4, 2))  # (tiles are 4 x 4)
    pattern, batch = str(rng.choice(PATTERNS)), int(rng.integers(1, 300))
    made = dict(bias=bool(rng.integers(2)), device=device, dtype=dtype)
    kind: Any = BibdLinear if pattern == "bibd" else partial(SparseLinear, pattern=pattern)
    if pattern == "random":
        kind = partial(kind, seed=seed)
    layer = kind(inputs, outputs, **made)
    x = torch.from_numpy(rng.standard_normal((batch, inputs))).to(device, dtype)
    terms = max(inputs, outputs, batch)
    return {"what": f"{pattern} {inputs}-{outputs}, {batch}"} | compare(
        layer, F.linear, x, terms, 1
    )


def conv_case(seed: int, dtype: torch.dtype, device: str, most: int) -> dict[str, Any]:
    """A convolution of random size, window, stride and groups."""
    rng = np.random.default_rng(1000 + seed)
    groups, size, stride = (int(rng.choice(c)) for c in ((1, 1, 2, 4), (1, 3, 5), (1, 2)))
    most = max(4, most // 32 // groups)
    inputs, outputs = (4 * groups * int(n) for n in rng.integers(2, most, 2))
    pattern, batch, side = str(rng.choice(PATTERNS[:5])), int(rng.integers(1, 9)), 12
    layer = SparseConv2d(
        inputs, outputs, size, stride, size // 2, groups=groups, pattern=pattern, seed=seed,
        device=device, dtype=dtype,
    )  # fmt: skip
    x = torch.from_numpy(rng.standard_normal((batch, inputs, side, side))).to(device, dtype)
    if seed % 2:
        x = x.contiguous(memory_format=torch.channels_last)
    twin = partial(F.conv2d, stride=stride, padding=size // 2, groups=groups)
    terms = max(size**2 * max(inputs, outputs) // groups, batch * side**2)
    fast = WINOGRAD if size == 3 and stride == 1 and dtype != torch.float64 else 1
    what = f"{pattern} {inputs}-{outputs}, {size}x{size}/{stride}, groups {groups}, {batch}"
    return {"what": what} | compare(layer, twin, x, terms, fast)


def compare(layer: Any, twin: Callable, x: torch.Tensor, terms: int, fast: int) -> dict[str, Any]:
    """Output and gradients beside the twin's; the largest error as a share of the bound.

    Raises:
        AssertionError: an error above its bound, or another type or shape.
    """
    g = torch.randn(layer(x).shape, generator=torch.Generator().manual_seed(0)).to(x)
    got = pass_through(layer, x, g)
    weight, bias = layer.to_dense().detach(), layer.bias
    exact = dense_pass(twin, x, weight, bias, g)
    scale = dense_pass(twin, *(v if v is None else v.abs() for v in (x, weight, bias, g)))
    kept = layer._places()
    of = lambda w: w.reshape(-1, *layer.weight.shape[1:])[kept]  # noqa: E731
    exact["weight"], scale["weight"] = of(exact["weight"]), of(scale["weight"])
    own, inner = torch.finfo(x.dtype), torch.finfo(ACCUMULATES.get(x.dtype, torch.float32))
    most = (terms + 4) * inner.eps / 2
    bound = fast * most / (1 - most) + own.eps
    shares = {}
    for name, value in got.items():
        assert value.dtype == x.dtype, f"{name} is {value.dtype}"
        assert value.shape == exact[name].shape, f"{name} has shape {tuple(value.shape)}"
        error = (value.double() - exact[name]).abs()
        share = (error / (bound * scale[name] + own.tiny * own.eps)).max()
        shares[name] = float(f"{float(share):.3g}")
    found = {"bound": float(f"{bound:.3g}"), "shares": shares}
    assert max(shares.values()) <= 1, f"above the bound: {found}"
    return found


def pass_through(layer: nn.Module, x: torch.Tensor, g: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradient of the input, gradients of the parameters."""
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(g)
    grads = {k: p.grad for k, p in layer.named_parameters() if p.grad is not None}
    assert x.grad is not None
    return {"output": y.detach(), "input": x.grad, **grads}


def dense_pass(twin: Callable, x, weight, bias, g) -> dict[str, torch.Tensor]:
    """The same of the twin, in float64."""
    x, weight, g = (v.detach().double() for v in (x, weight, g))
    for value in (x, weight):
        value.requires_grad_()
    held = {"weight": weight}
    if bias is not None:
        held["bias"] = bias.detach().double().requires_grad_()
    y = twin(x, weight, held.get("bias"))
    y.backward(g)
    return {"output": y.detach(), "input": x.grad, **{k: v.grad for k, v in held.items()}}
