"""A design of dense tiles: products of kept tiles on tensor cores, three ways, beside dense.

triton   bibd.kernels.gpu.tile_kernels, forward and both gradients; tiles kept one by one, or (`of a
         layer`, to see what that costs) with the values row after row
bsr      torch's own block-sparse product (bsr_dense_addmm), forward
bmm      the tiles that an output reads brought together, then one batched product
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.clock import timed
from benchmarks.gpu.rivals import beside
from bibd.pattern import make_pattern

CASES = ((4096, 64), (16384, 64), (16384, 128), (4096, 128), (4096, 32))
# (samples of a program, warps, stages); for gradients of weights the first is the step.
SHAPES = {
    32: [(128, 4, 4)],
    64: [(128, 4, 4), (256, 8, 3)],
    128: [(128, 8, 3), (256, 8, 3)],
}
CLOSE = 2.0**-8  # bf16 rounds the result: the norm of the error over that of the result


def checks(device: str, small: bool, batch: int) -> list:
    """Every way, case after case."""
    found = []
    for size, tile in [(64, 16)] if small else CASES if batch == 4096 else CASES[:2]:
        setting = size, tile, batch, device
        name = f"tiled {size}, tiles of {tile}, {batch}"
        for shape in SHAPES.get(tile, [(32, 4, 1)]):
            found.append((f"{name}: triton {shape}", partial(by_triton, setting, shape)))
        found.append((f"{name}: triton of a layer", partial(of_a_layer, setting)))
        found += [(f"{name}: {w.__name__[3:]}", partial(w, setting)) for w in (by_bsr, by_bmm)]
    return found


class Tiles:
    """A design of tiles with values, inputs and outer gradients."""

    def __init__(self, size: int, tile: int, batch: int, device: str, dtype=torch.bfloat16):
        self.size, self.tile, self.batch, self.device = size, tile, batch, device
        p = self.pattern = make_pattern("bibd", size // tile, size // tile)
        made: Any = dict(device=device, dtype=dtype)
        self.weight = torch.randn(p.nonzeros, tile, tile, **made)
        self.x, self.g = ([torch.randn(batch, size, **made) for _ in range(2)] for _ in range(2))
        back = np.argsort(p.indices, kind="stable")
        starts = np.r_[0, np.cumsum(np.bincount(p.indices, minlength=size // tile))]
        on = lambda a: torch.from_numpy(np.array(a, np.int32)).to(device)  # noqa: E731
        begin, pitch = np.arange(p.nonzeros) * tile * tile, np.full(p.nonzeros, tile)
        self.ahead = on(p.indptr), on(p.indices), on(begin), on(pitch)
        self.back = on(starts), on(p.rows[back]), on(begin[back]), on(pitch)
        self.rows, self.cols = on(p.rows), on(p.indices)
        self.known: dict[str, torch.Tensor] = {}

    def grid(self) -> torch.Tensor:
        """The dense weight in float64 as (rows, cols, tile, tile)."""
        n = self.size // self.tile
        w = torch.zeros(n, n, self.tile, self.tile, dtype=torch.float64, device=self.device)
        w[self.rows.long(), self.cols.long()] = self.weight.double()
        return w

    def exact(self, what: str) -> torch.Tensor:
        """Output, or gradient of input or weight, made once."""
        if what not in self.known:
            self.known[what] = self._exact(what)
        return self.known[what]

    def _exact(self, what: str) -> torch.Tensor:
        x, g, n = self.x[0].double(), self.g[0].double(), self.size // self.tile
        if what == "weight":
            dense = (g.T @ x).view(n, self.tile, n, self.tile).transpose(1, 2)
            return dense[self.rows.long(), self.cols.long()]
        w = self.grid().transpose(1, 2).reshape(self.size, self.size)
        return x @ w.T if what == "output" else g @ w

    def check(self, got: torch.Tensor, what: str) -> float:
        """The norm of the error over that of the exact result.

        Raises:
            AssertionError: it is too large, or a value was not written.
        """
        error = float((got.double() - self.exact(what)).norm() / self.exact(what).norm())
        assert error <= CLOSE, f"{what}: error {error:.3g}"
        return float(f"{error:.3g}")

    def line(self, variant: str, call: Callable[[int], Any], error: Any) -> dict[str, Any]:
        """The times of a way forward; predicted is what x costs from L2 at 5.5 TB/s."""
        named = {"size": self.size, "tile": self.tile, "batch": self.batch, "dtype": "bf16"}
        density = self.pattern.nonzeros / (self.size // self.tile) ** 2
        bytes_of_x = 2 * self.batch * self.pattern.nonzeros * self.tile
        found = named | {"variant": variant, "error": error, "density": round(density, 4)}
        ms = found["forward ms"] = timed(call, self.device)
        found["predicted ms"] = round(bytes_of_x / 5.5e9, 4)
        beside(found, ms, "forward", (self.size, self.batch, self.device), ("bf16",))
        return found


@lru_cache(maxsize=1)
def made(*setting: Any) -> Tiles:
    """The tiles of this check, which the next ones share."""
    return Tiles(*setting)


def by_triton(setting: tuple, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Forward, and the three products of a training step."""
    if setting[-1] == "cpu":
        return {"variant": f"triton {shape}", "skipped": "kernels need a card"}
    s = made(*setting)
    calls, results = launches(s, shape)
    for call in calls.values():
        call(0)
    error = {k: s.check(results[k], k) for k in calls}
    found = s.line(f"triton {shape}", calls["output"], error)

    def step(i: int) -> None:
        for call in calls.values():
            call(i)

    for name in ("input", "weight"):
        found[f"{name} ms"] = timed(calls[name], s.device)
    ms = found["train ms"] = timed(step, s.device)
    beside(found, ms, "train", (s.size, s.batch, s.device), ("bf16",))
    return found


def of_a_layer(setting: tuple) -> dict[str, Any]:
    """Forward and gradients by what a layer calls, its values row after row."""
    if setting[-1] == "cpu":
        return {"variant": "triton of a layer", "skipped": "kernels need a card"}
    from bibd.kernels.gpu.tiles import Tiles as Lists

    s = made(*setting)
    t = s.tile
    flat = make_pattern(f"tiled-{t}", s.size, s.size).flat
    lists = Lists(flat[None], s.size, s.size, tile=t)
    at, full = torch.from_numpy(flat).to(s.device), s.grid().transpose(1, 2).reshape(-1)
    values = full[at].to(s.weight.dtype)

    def step(i: int) -> None:
        lists.rows(s.x[i % 2], values, back=False)
        lists.rows(s.g[i % 2], values, back=True)
        lists.weights(s.g[i % 2], s.x[i % 2])

    error = {"output": s.check(lists.rows(s.x[0], values, back=False), "output")}
    error["input"] = s.check(lists.rows(s.g[0], values, back=True), "input")
    full[at] = lists.weights(s.g[0], s.x[0]).double()
    tiles = full.view(s.size // t, t, -1, t).transpose(1, 2)[s.rows.long(), s.cols.long()]
    error["weight"] = s.check(tiles, "weight")
    del full, tiles
    found = s.line("triton of a layer", lambda i: lists.rows(s.x[i % 2], values, False), error)
    ms = found["train ms"] = timed(step, s.device)
    beside(found, ms, "train", (s.size, s.batch, s.device), ("bf16",))
    return found


def launches(s: Tiles, shape: tuple[int, int, int]) -> tuple[dict, dict]:
    """Functions of i, and where their results are."""
    from bibd.kernels.gpu import tile_kernels

    kernels: Any = tile_kernels
    most, warps, stages = shape
    how, n = dict(num_warps=warps, num_stages=stages), s.size // s.tile
    y, dx = (torch.full_like(s.x[0], torch.nan) for _ in range(2))
    dw, sizes = torch.full_like(s.weight, torch.nan), (s.batch, s.size, s.size)
    blocks = (n * -(-s.batch // most),)

    def rows(i: int) -> None:
        given = s.x[i % 2], s.weight, y, *s.ahead, *sizes
        kernels.rows[blocks](*given, s.tile, most, False, "ieee", **how)

    def back(i: int) -> None:
        given = s.g[i % 2], s.weight, dx, *s.back, *sizes
        kernels.rows[blocks](*given, s.tile, most, True, "ieee", **how)

    def weights(i: int) -> None:
        given = s.x[i % 2], s.g[i % 2], dw, s.rows, s.cols, *s.ahead[2:], *sizes
        step = s.tile, min(64, most), "ieee"
        kernels.weights[(len(s.rows),)](*given, *step, num_warps=4, num_stages=3)

    calls = {"output": rows, "input": back, "weight": weights}
    return calls, {"output": y, "input": dx, "weight": dw}


def by_bsr(setting: tuple) -> dict[str, Any]:
    """Torch's block-sparse product, whose output is features-major."""
    if setting[-1] == "cpu":
        return {"variant": "bsr", "skipped": "bsr_dense_addmm needs a card"}
    from torch.sparse._triton_ops import bsr_dense_addmm

    s = made(*setting)
    n = s.size, s.size
    bsr = torch.sparse_bsr_tensor(s.ahead[0].long(), s.ahead[1].long(), s.weight, n)
    y = torch.full((s.size, s.batch), torch.nan, device=s.device, dtype=s.weight.dtype)

    def call(i: int) -> None:
        bsr_dense_addmm(y, bsr, s.x[i % 2].T, beta=0, out=y)

    call(0)
    return s.line("bsr_dense_addmm", call, s.check(y.T, "output"))


def by_bmm(setting: tuple) -> dict[str, Any]:
    """Plain torch: an index and a batched product; for as many tiles in every row."""
    s = made(*setting)
    counts = s.pattern.fan_in
    if counts.min() != counts.max():
        return {"variant": "bmm", "skipped": "rows of this cut plane have different counts"}
    n, k = s.size // s.tile, int(counts[0])
    weight = s.weight.view(n, k, s.tile, s.tile).transpose(2, 3).reshape(n, k * s.tile, s.tile)
    cols = s.cols.long()

    def call(i: int) -> torch.Tensor:
        x = s.x[i % 2].view(s.batch, n, s.tile)[:, cols].view(s.batch, n, k * s.tile)
        y = torch.bmm(x.transpose(0, 1), weight)
        return y.transpose(0, 1).reshape(s.batch, s.size)

    return s.line("gather and bmm", call, s.check(call(0), "output"))
