"""Dense products as they are, for the forms of sparse ones to be measured against."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.gpu.clock import timed

DTYPES = {"bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32}


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """TF32 or not, while inside."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@cache
def dense(size: int, batch: int, precision: str, device: str) -> dict[str, float]:
    """Milliseconds forward, and of the three products of a training step."""
    made: Any = dict(device=device, dtype=DTYPES[precision])
    x, g = ([torch.randn(batch, size, **made) for _ in range(2)] for _ in range(2))
    w = torch.randn(size, size, **made)

    def train(i: int) -> None:
        F.linear(x[i % 2], w)
        torch.mm(g[i % 2], w)
        torch.mm(g[i % 2].T, x[i % 2])

    with arithmetic(precision):
        forward = timed(lambda i: F.linear(x[i % 2], w), device)
        return {"forward": forward, "train": timed(train, device)}


def beside(found: dict[str, Any], ms: float, kind: str, key: tuple, rivals: tuple) -> None:
    """Add to a line how many times as fast as each dense rival it is."""
    size, batch, device = key
    for rival in rivals:
        other = dense(size, batch, rival, device)[kind]
        found[f"{kind} dense {rival} ms"] = other
        found[f"{kind} ratio {rival}"] = round(other / ms, 3)
