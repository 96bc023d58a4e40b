"""Forms of fine.cu on real patterns: beside a float64 twin, then timed."""

from dataclasses import replace
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.clock import timed
from benchmarks.gpu.rivals import DTYPES, beside
from bibd.kernels.gpu.compile import compiled
from bibd.kernels.gpu.forms import Form, grid, laid_out, predicted, slots
from bibd.pattern import Pattern, make_pattern

RIVALS = {"bf16": ("bf16",), "fp32": ("fp32", "tf32", "bf16")}
# Norm of the error over that of the result: bf16 rounds the result (2^-9), and in modes 1 and 2
# also products or partial sums. A wrong connection of 64 is an error of 0.18 in its outputs: WORST
# is the largest single error over the root of the mean square.
CLOSE = {"bf16": 2.0**-8, "fp32": 1e-5}
WORST = {"bf16": 0.05, "fp32": 1e-3}


@cache
def drawn(pattern: str, size: int, terms: int) -> Pattern:
    """A pattern, which takes a second at 16384."""
    seeded = {} if pattern == "bibd" else dict(seed=0, nonzeros=size * terms)
    return make_pattern(pattern, size, size, **seeded)


DEALT: dict[Any, Any] = {}


def dealt(p: Pattern, form: Form, back: bool, sort: bool):
    """Slots, which take seconds at 16384, and which forms of the same chunks and width share."""
    key = id(p), form.chunk, form.chunks, form.width, back, sort  # (drawn keeps patterns alive)
    if key not in DEALT:
        rows, cols = (p.indices, p.rows) if back else (p.rows, p.indices)
        DEALT[key] = slots(rows, cols, p.out_features, form, sort)
    return DEALT[key]


class Setting:
    """A pattern, values, inputs, outer gradients, and what float64 makes of them."""

    def __init__(self, size: int, terms: int, dtype: str, batch: int, pattern: str, device: str):
        self.size, self.terms, self.dtype, self.batch = size, terms, dtype, batch
        self.device = device
        p = self.pattern = drawn(pattern, size, terms)
        self.nonzeros = p.nonzeros
        made: Any = dict(device=device, dtype=DTYPES[dtype])
        self.weight = torch.randn(p.nonzeros + 1, **made)  # the last one is what empty slots have
        self.weight[-1] = 0
        self.x, self.g = ([torch.randn(batch, size, **made) for _ in range(2)] for _ in range(2))
        self.flat = torch.from_numpy(p.flat).to(device)
        self.known: dict[str, torch.Tensor] = {}

    @cached_property
    def dense(self) -> torch.Tensor:
        """The weight in float64."""
        w = torch.zeros(self.size**2, device=self.device, dtype=torch.float64)
        w[self.flat] = self.weight[:-1].double()
        return w.view(self.size, self.size)

    def exact(self, what: str) -> torch.Tensor:
        """Output, or gradient of input or weight, made once."""
        if what not in self.known:
            self.known[what] = self._exact(what)
        return self.known[what]

    def _exact(self, what: str) -> torch.Tensor:
        if what == "output":
            return self.x[0].double() @ self.dense.T
        if what == "input":
            return self.g[0].double() @ self.dense
        return (self.g[0].double().T @ self.x[0].double()).view(-1)[self.flat]

    def table(self, form: Form, back: bool, sort: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """The table on the card, and places of weights; of the transposed pattern if `back`."""
        table, place = laid_out(form, *dealt(self.pattern, form, back, sort))
        table = np.ascontiguousarray(table).view(np.int16)
        place = np.ascontiguousarray(place).astype(np.int32)
        return torch.from_numpy(table).to(self.device), torch.from_numpy(place).to(self.device)

    def line(self, form: Form) -> dict[str, Any]:
        """What every line begins with."""
        named = {k: getattr(self, k) for k in ("size", "terms", "batch", "dtype")}
        bound = round(predicted(form, self.batch, self.nonzeros), 4)
        return named | {"variant": form.said(), "predicted ms": bound}

    def check(self, got: torch.Tensor, what: str) -> float:
        """The norm of the error over that of the exact result.

        Raises:
            AssertionError: it is too large, or one value is far off, or was not written.
        """
        exact = self.exact(what)
        error = got.double() - exact
        off, worst = (float(v) for v in (error.norm() / exact.norm(), error.abs().max()))
        worst /= float(exact.square().mean().sqrt())
        said = f"{what}: error {off:.3g}, worst {worst:.3g}, {int(got.isnan().sum())} NaN"
        assert off <= CLOSE[self.dtype], said
        assert worst <= WORST[self.dtype], said
        return float(f"{off:.3g}")


@lru_cache(maxsize=1)
def made(*setting: Any) -> Setting:
    """The setting of this check, which the next ones share."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Setting(*setting)


def rows(form: Form, s: Setting, back: bool, sort: bool = True):
    """A function of i, and where its result is."""
    kernel, (table, place) = compiled(form), s.table(form, back, sort)
    blocks, rounds = grid(form, s.batch, s.size)
    weight = torch.empty(place.shape, device=s.device, dtype=s.weight.dtype)
    given, y = s.g if back else s.x, torch.full_like(s.x[0], torch.nan)

    def lay():
        torch.index_select(s.weight, 0, place.view(-1), out=weight.view(-1))

    def call(i: int):
        kernel(blocks, given[i % 2], weight, table, y, s.batch, s.size, s.size, rounds)

    lay()
    return call, y, lay


def weights(form: Form, s: Setting):
    """A function of i, and one that gives its result in the order of the values."""
    kernel, (table, place) = compiled(form), s.table(form, False)
    blocks, tiles = grid(form, s.batch, s.size)
    parts = torch.full((blocks[0], place.numel()), torch.nan, device=s.device)
    back = torch.empty(s.nonzeros + 1, device=s.device, dtype=torch.int64)
    back[place.view(-1).long()] = torch.arange(place.numel(), device=s.device)

    def call(i: int):
        kernel(blocks, s.x[i % 2], s.g[i % 2], table, parts, s.batch, s.size, s.size, tiles)

    def sort():
        return parts.sum(0)[back[:-1]].to(s.weight.dtype)

    return call, sort


def forward(setting: tuple, form: Form) -> dict[str, Any]:
    """One form of the product; laying weights out is timed on its own."""
    if setting[-1] == "cpu":
        return {"variant": form.said(), "skipped": "kernels need a card"}
    s = made(*setting)
    s_line = s.line(form)
    call, y, lay = rows(form, s, False)
    call(0)
    found = s_line | {"error": s.check(y, "output")} if not form.mode else loose(s, y, s_line)
    ms = timed(call, s.device)
    found |= {"grid": grid(form, s.batch, s.size)[0], "forward ms": ms}
    found["lay out ms"] = timed(lambda i: lay(), s.device)
    beside(found, ms, "forward", (s.size, s.batch, s.device), RIVALS[s.dtype])
    return found


def loose(s: Setting, y: torch.Tensor, line: dict[str, Any]) -> dict[str, Any]:
    """As check, for sums that are rounded to bf16 more than once: eight times at most."""
    error = (y.double() - s.exact("output")).norm() / s.exact("output").norm()
    assert float(error) <= 8 * CLOSE["bf16"], f"output: error {float(error):.3g}"
    return line | {"error": float(f"{float(error):.3g}")}


def training(setting: tuple, form: Form, form_w: Form) -> dict[str, Any]:
    """Forward and both gradients, weights and their gradient in the order of the layer."""
    if setting[-1] == "cpu":
        return {"variant": form_w.said(), "skipped": "kernels need a card"}
    s = made(*setting)
    found = s.line(form_w)
    found["predicted ms"] = round(3 * found["predicted ms"], 4)
    (ahead, y, lay), (back, dx, lay_back) = (rows(form, s, flip) for flip in (False, True))
    weight, sort = weights(form_w, s)
    for call in (ahead, back, weight):
        call(0)
    ours = {"output": y, "input": dx, "weight": sort()}
    found["error"] = {k: s.check(v, k) for k, v in ours.items()}

    def step(i: int):
        lay()
        ahead(i)
        lay_back()
        back(i)
        weight(i)
        sort()

    named = {"input": back, "weight": weight, "sort": lambda i: sort(), "train": step}
    for name, call in named.items():
        found[f"{name} ms"] = timed(call, s.device)
    beside(found, found["train ms"], "train", (s.size, s.batch, s.device), RIVALS[s.dtype])
    return found


def diagnosis(setting: tuple, form: Form, what: str) -> dict[str, Any]:
    """One part of the work alone, or a table that meets itself in the banks."""
    if setting[-1] == "cpu":
        return {"skipped": "kernels need a card"}
    if what == "random table":
        random = make_random(setting)
        return {"forward ms": timed(rows(form, random, False)[0], random.device)}
    s = made(*setting)
    part = {"load only": 1, "multiply only": 2}.get(what, 0)
    call, _, _ = rows(replace(form, part=part), s, False, what != "unsorted table")
    return {"variant": form.said(), "forward ms": timed(call, s.device)}


def make_random(setting: tuple) -> Setting:
    """The same with connections drawn at random, as many for each input and output."""
    size, terms, dtype, batch, _, device = setting
    return Setting(size, terms, dtype, batch, "random_biregular", device)
