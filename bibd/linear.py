"""Linear layers that hold only the connections their pattern has."""

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import nn

from bibd import kernels
from bibd.design import Design
from bibd.kernels import modes
from bibd.kernels.native import plain
from bibd.layer import SparseLayer, one_of, resolve
from bibd.pattern import Pattern, beside, diagonal
from bibd.signature import checked
from bibd.state import Patterned

TRACED = "traced", *kernels.PATHS  # what goes through registered operators


class SparseLinear(SparseLayer):
    """y = x W^T + b with W zero outside the pattern; takes the place of nn.Linear.

    `weight` has one value for each connection. `to_dense()` shows the weight as nn.Linear holds it,
    `from_dense` takes one, `bibd.certify(layer)` says what the pattern is, `layer.path(x)` how it
    would be computed, and `bibd.init(layer, fn)` draws the values by a function of torch.nn.init.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        pattern: Name of a family (bibd.families), a Design of in_features points and out_features
            blocks, or a Pattern of this size.
        bias: Adds a learned vector to the output.
        seed: Seed of the pattern. None: the canonical order; for random ones, which have none,
            one draw from torch's generator, so that layers differ and torch.manual_seed governs.
        init: Kaiming normal: "true" by the connections that an output has, "dense" (the IDDL study)
            by the width of the input, which starts signals sqrt(fan_in / in) too small.
        backend: "auto", "dense", "bag", "native" (CPU), "cuda", "triton" (GPU); see bibd.kernels.
        device: Where parameters are made.
        dtype: Type of the parameters.
        nonzeros: How many connections, for random patterns and block_diagonal. None: as many as
            the modular rule has.

    A NaN or an infinity in one input stays with the outputs that read it on the paths "bag" and
    "native"; on "dense", which "auto" may take, it reaches every output (0 * NaN is NaN), and on a
    GPU's others perhaps.
    """

    @checked
    def __init__(
        self,
        in_features: int,
        out_features: int,
        pattern: str | Design | Pattern = "bibd",
        bias: bool = True,
        seed: int | None = None,
        init: str = "true",
        backend: str = "auto",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        nonzeros: int | None = None,
    ):
        table = resolve(pattern, in_features, out_features, seed, nonzeros)
        super().__init__(table, (), bias, init, device, dtype)
        self.backend = one_of("backend", backend, kernels.BACKENDS)

    @staticmethod
    def _sizes(shape: tuple[int, ...], groups: int) -> tuple[Any, ...]:
        """Return the first arguments of a layer whose weight has this shape."""
        if len(shape) != 2 or groups != 1:
            raise ValueError(f"expected a weight (out, in) without groups, got shape {shape}")
        return shape[1], shape[0]

    @property
    def in_features(self) -> int:
        """The width of the input."""
        return self.pattern.in_features

    @property
    def out_features(self) -> int:
        """The width of the output."""
        return self.pattern.out_features

    def _dense_fan(self) -> int:
        return self.in_features

    def _side(self) -> int:
        return kernels.side_of(self.pattern.flat, *self.pattern.shape)

    def _fits(self, x: torch.Tensor) -> bool:
        return x.ndim > 0 and x.shape[-1] == self.in_features

    def _wants(self) -> str:
        return f"(..., {self.in_features})"

    def _fix(self, x: torch.Tensor) -> str:
        if x.ndim > 2 and prod(x.shape[1:]) == self.in_features:
            return "x.flatten(1)"
        if x.ndim > 1 and self.in_features in x.shape:
            return f"x.movedim({list(x.shape).index(self.in_features)}, -1)"
        return "make the layer as wide as the last axis of x"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to (..., out_features)."""
        path = self._route(x)
        if path == "native":
            held, table = self._held(), kernels.table(self.pattern)
            y = None if torch.is_grad_enabled() else kernels.quick(x, *held, table)
            return kernels.native_linear(x, *held, table) if y is None else y
        if path in TRACED:
            flat, tile = self._places().unsqueeze(0), self._tiled(path)
            sizes = self.in_features, self.out_features
            return kernels.traced_linear(x, *self._held(), flat, *sizes, tile)
        if path == "bag":
            return kernels.bag_linear(x, self.weight, self.bias, self.pattern)
        return kernels.dense_linear(x, self.weight, self.bias, self._places(), self.shape)

    def path(self, x: torch.Tensor) -> str:
        """Return how this input would be multiplied: one of the backends, but for "auto"."""
        backend = kernels.wanted(self.backend)
        p = self.pattern
        sizes = p.in_features, p.out_features, p.nonzeros, 1
        given = (x, self.weight), sizes, (), lambda: self._trials(x)
        return kernels.choose(backend, *given, self._tile)

    def _trials(self, x: torch.Tensor):
        """Return what makes the calls to be timed, for inputs like this one."""
        bias = self.bias is not None
        return kernels.linear_trials(self.pattern, self._places(), bias, self._tile)

    @classmethod
    def stack(cls, layers: "list[SparseLinear]") -> nn.Module:
        """Make one module with a leading axis of members (the stack protocol)."""
        return StackedSparseLinear(layers)

    def extra_repr(self) -> str:
        """Return sizes, pattern and density, as print(model) shows them."""
        return f"{self.in_features}, {self.out_features}, {self.describe()}"


class BibdLinear(SparseLinear):
    """A SparseLinear with the pattern `bibd`: the lines of a finite plane.

    Every pair of inputs meets in exactly one output where the sizes are those of a plane, such as
    q^2 inputs and q^2 + q outputs for a prime power q (`bibd.nearest(100, 100)` names the sizes
    nearby); elsewhere the plane is cut, and print(layer) says "packing".

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Adds a learned vector to the output.
        seed: Permutes inputs and outputs of the pattern. None: the canonical order.
        init: Kaiming normal: "true" by the connections that an output has, "dense" by the width.
        backend: "auto", "dense", "bag", "native" (CPU), "cuda", "triton" (GPU); see bibd.kernels.
        device: Where parameters are made.
        dtype: Type of the parameters.
    """

    PATTERN = "bibd"

    @checked
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        seed: int | None = None,
        init: str = "true",
        backend: str = "auto",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ):
        sizes = in_features, out_features, self.PATTERN
        super().__init__(*sizes, bias, seed, init, backend, device, dtype)


class RandomSparseLinear(SparseLinear):
    """A SparseLinear with random connections (pattern `random`), to compare designs with.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Adds a learned vector to the output.
        seed: Seed of the draw. None: one from torch's generator, so that layers differ.
        init: Kaiming normal: "true" by the connections that an output has, "dense" by the width.
        backend: "auto", "dense", "bag", "native" (CPU), "cuda", "triton" (GPU); see bibd.kernels.
        device: Where parameters are made.
        dtype: Type of the parameters.
        nonzeros: How many connections. None: as many as the modular rule has for this size.
    """

    PATTERN = "random"

    @checked
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        seed: int | None = None,
        init: str = "true",
        backend: str = "auto",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        nonzeros: int | None = None,
    ):
        sizes, made = (in_features, out_features, self.PATTERN), (device, dtype)
        super().__init__(*sizes, bias, seed, init, backend, *made, nonzeros=nonzeros)


class StackedSparseLinear(Patterned):
    """Layers of equal size side by side: maps (members, batch, in) to (members, batch, out).

    Their patterns may differ, their number of connections may not. Where all members read one
    input, x.expand(members, ...), the native path takes them for one wide layer and copies nothing.
    """

    def __init__(self, layers: Sequence[SparseLinear]):
        super().__init__()
        _check_equal(layers)
        self.shape = layers[0].out_features, layers[0].in_features
        self.backend = layers[0].backend
        self.pattern = diagonal([m.pattern for m in layers])
        self.tables = [m.pattern for m in layers]
        self.weight = nn.Parameter(torch.stack([m.weight.detach() for m in layers]))
        biases = [m.bias.detach() for m in layers if m.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases).unsqueeze(2)) if biases else None
        self._register_table()

    def _make_table(self) -> torch.Tensor:
        """Return where each connection stands in the weight of its member."""
        return torch.stack([torch.from_numpy(p.flat) for p in self.tables])

    def _side(self) -> int:
        sides = {kernels.side_of(p.flat, *p.shape) for p in self.tables}
        return sides.pop() if len(sides) == 1 else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        if self._is_one(x) and self._route_wide(x) == "native":
            return self._wide(x[0])
        path = self._route(x)
        if path == "native":
            weight, bias = self._held()
            return kernels.native_linear(x, weight, bias, self.table, len(weight))
        if path in TRACED:
            sizes = self.shape[1], self.shape[0], self._tiled(path)
            return kernels.traced_linear(x, *self._held(), self._places(), *sizes)
        if path == "bag":
            return kernels.bag_stacked(x, self.weight, self.bias, self.pattern)
        return kernels.dense_stacked(x, self.weight, self.bias, self._places(), self.shape)

    def _is_one(self, x: torch.Tensor) -> bool:
        """Return whether all members read the same input here, in plain eager mode."""
        if not isinstance(x, torch.Tensor) or not modes.quiet() or not self._fits(x):
            return False
        mine = self._buffers["flat"] is self._table[0]
        return mine and len(x) > 1 and x.stride(0) == 0 and plain(x, *self._held())

    def _route_wide(self, x: torch.Tensor) -> str:
        """Return how the wide layer of all members would be multiplied; remembered."""
        kind = "wide", x.shape, x.dtype, torch.is_grad_enabled(), torch.get_num_threads()
        found = self._routes.get(kind)
        if found is None:
            self._look(x)
            p, values = self.beside, self.weight.flatten()
            sizes = p.in_features, p.out_features, p.nonzeros, 1
            flat = torch.from_numpy(p.flat)
            found = self._routes[kind] = kernels.choose(
                kernels.wanted(self.backend),
                (x[0], values),
                sizes,
                (),
                lambda: kernels.linear_trials(p, flat, self.bias is not None),
            )
        return found

    def _wide(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._held()
        bias = None if bias is None else bias.flatten()
        y = kernels.native_linear(x, weight.flatten(), bias, kernels.table(self.beside))
        return y.unflatten(-1, (len(weight), self.shape[0])).movedim(-2, 0)

    @cached_property
    def beside(self) -> Pattern:
        """The pattern of the layer whose outputs are those of all members, one after the other."""
        return beside(self.tables)

    def _fits(self, x: torch.Tensor) -> bool:
        return x.ndim == 3 and (len(x), x.shape[2]) == (len(self.tables), self.shape[1])

    def _wants(self) -> str:
        return f"({len(self.tables)}, batch, {self.shape[1]})"

    def _fix(self, x: torch.Tensor) -> str:
        return f"x.expand({len(self.tables)}, *x.shape) gives each member the same input"

    def _title(self) -> str:
        return f"{type(self).__name__}({self.shape[1]}, {self.shape[0]})"

    @property
    def table(self) -> kernels.Table:
        """Return all members' connections, in one table if they share a pattern."""
        return kernels.stacked(self.pattern, self.tables)

    def path(self, x: torch.Tensor) -> str:
        """Return how this input would be multiplied: one of the backends, but for "auto"."""
        backend = kernels.wanted(self.backend)
        members, nonzeros = self.weight.shape
        sizes = self.shape[1], self.shape[0], nonzeros, members
        given = (x, self.weight), sizes, (), lambda: self._trials(x)
        return kernels.choose(backend, *given, self._tile)

    def _trials(self, x: torch.Tensor):
        """Return what makes the calls to be timed, for inputs like this one."""
        flat, bias = self._places(), self.bias is not None
        sizes = self.shape, bias, self._tile
        return kernels.stack_trials(self.pattern, lambda: self.table, flat, *sizes)


def _check_equal(layers: Sequence[SparseLinear]) -> None:
    for what, of in {
        "shape": lambda m: m.shape,
        "number of connections": lambda m: m.pattern.nonzeros,
        "bias": lambda m: m.bias is not None,
        "dtype": lambda m: m.weight.dtype,
    }.items():
        found = list(dict.fromkeys(of(m) for m in layers))
        if len(found) > 1:
            raise ValueError(f"layers of a stack need the same {what}, got {found}")
