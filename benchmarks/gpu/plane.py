"""A resolvable plane as batched products: each class of parallel lines parts the inputs.

A class is a permutation of the inputs into q groups of q, each read by one output: a product of q
matrices (batch, q) by q vectors. All of x is read for each of the classes: at 4096 inputs, batch
4096, bf16, 64 times 32 MiB, 0.7 ms at 3 TB/s, where a dense product takes 0.2 ms.
"""

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.clock import timed
from benchmarks.gpu.rivals import DTYPES, beside
from bibd.pattern import make_pattern


def checks(device: str, small: bool) -> list:
    """One size."""
    size, batch = (64, 32) if small else (4096, 4096)
    return [(f"plane {size}, {batch}, bf16", partial(classes, size, batch, "bf16", device))]


def classes(size: int, batch: int, dtype: str, device: str) -> dict[str, Any]:
    """Every class as one bmm of permuted inputs.

    Raises:
        AssertionError: another result than the dense twin's.
    """
    p, q = make_pattern("bibd", size, size), round(size**0.5)
    made: Any = dict(device=device, dtype=DTYPES[dtype])
    x = [torch.randn(batch, size, **made) for _ in range(2)]
    values = torch.randn(p.nonzeros, **made)
    order = torch.tensor(p.indices, device=device).view(q, q * q)  # class: line after line
    weight, y = values.view(q, q, q, 1), torch.empty(q, q, batch, 1, **made)

    def call(i: int) -> None:
        for k in range(q):
            groups = x[i % 2].index_select(1, order[k]).view(batch, q, q).transpose(0, 1)
            torch.bmm(groups, weight[k], out=y[k])

    call(0)
    dense = torch.zeros(size * size, device=device, dtype=torch.float64)
    dense[torch.from_numpy(p.flat).to(device)] = values.double()
    exact = x[0].double() @ dense.view(size, size).T
    error = float((y.view(size, batch).T.double() - exact).norm() / exact.norm())
    assert error <= 2.0**-8, f"error {error:.3g}"
    ms = timed(call, device)
    found: dict[str, Any] = {"size": size, "batch": batch, "dtype": dtype, "forward ms": ms}
    found |= {"variant": f"{q} classes of {q} products", "error": float(f"{error:.3g}")}
    beside(found, ms, "forward", (size, batch, device), (dtype,))
    return found
