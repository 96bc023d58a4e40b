"""Linear layers that hold only the connections their pattern has."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bibd import kernels
from bibd.design import Design
from bibd.layer import SparseLayer, one_of, resolve
from bibd.pattern import Pattern, diagonal
from bibd.state import Patterned


class SparseLinear(SparseLayer):
    """y = x W^T + b with W zero outside the pattern; takes the place of nn.Linear.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        pattern: Name of a family (bibd.families), a Design of in_features points and out_features
            blocks, or a Pattern of this size.
        bias: Adds a learned vector to the output.
        seed: Seed of the pattern. None: the canonical order; for random ones, which have none,
            one draw from torch's generator, so that layers differ and torch.manual_seed governs.
        init: Kaiming normal; "true" uses the connections an output really has, "dense" (the IDDL
            study) the width of the input, which starts signals sqrt(fan_in / in) too small.
        backend: "auto", "dense", "bag" or "native"; see bibd.kernels.
        device: Where parameters are made.
        dtype: Of the parameters.
        nonzeros: How many connections, for random patterns and block_diagonal; None: as `iddl`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pattern: str | Design | Pattern = "bibd",
        bias: bool = True,
        seed: int | None = None,
        init: str = "true",
        backend: str = "auto",
        device=None,
        dtype=None,
        *,
        nonzeros: int | None = None,
    ):
        table = resolve(pattern, in_features, out_features, seed, nonzeros)
        super().__init__(table, (), bias, init, device, dtype)
        self.backend = one_of("backend", backend, kernels.BACKENDS)

    @staticmethod
    def sizes(shape: tuple[int, ...], groups: int) -> tuple[Any, ...]:
        """The first arguments of a layer whose weight has this shape."""
        if len(shape) != 2 or groups != 1:
            raise ValueError(f"expected a weight (out, in) without groups, got shape {shape}")
        return shape[1], shape[0]

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.pattern.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.pattern.out_features

    def dense_fan(self) -> int:
        """The width of the input."""
        return self.in_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to (..., out_features)."""
        path = self.route(x)
        if path == "native":
            held, table = self.held(), kernels.table(self.pattern)
            y = None if torch.is_grad_enabled() else kernels.quick(x, *held, table)
            return kernels.native_linear(x, *held, table) if y is None else y
        if path == "traced":
            flat = self.places().unsqueeze(0)
            return kernels.traced_linear(x, *self.held(), flat, self.in_features, self.out_features)
        if path == "bag":
            return kernels.bag_linear(x, self.weight, self.bias, self.pattern)
        return kernels.dense_linear(x, self.weight, self.bias, self.places(), self.shape)

    def path(self, x: torch.Tensor) -> str:
        """How this input would be multiplied: dense, bag or native."""
        backend = kernels.wanted(self.backend)
        p = self.pattern
        sizes = p.in_features, p.out_features, p.nonzeros, 1
        return kernels.choose(backend, (x, self.weight), sizes, (), lambda: self.trials(x))

    def trials(self, x: torch.Tensor):
        """What makes the calls to be timed, for inputs like this one."""
        table, bias = kernels.table(self.pattern), self.bias is not None
        return kernels.linear_trials(self.pattern, table, self.places(), bias)

    @classmethod
    def stack(cls, layers: "list[SparseLinear]") -> nn.Module:
        """One module with a leading axis of members: the stack protocol."""
        return StackedSparseLinear(layers)

    def extra_repr(self) -> str:
        """Sizes, pattern and density, as print(model) shows them."""
        return f"{self.in_features}, {self.out_features}, {self.describe()}"


class BibdLinear(SparseLinear):
    """SparseLinear on the lines of a finite plane: pattern `bibd`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **options):
        super().__init__(in_features, out_features, "bibd", bias, **options)


class RandomSparseLinear(SparseLinear):
    """SparseLinear with as many connections as pattern `iddl` has, anywhere."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **options):
        super().__init__(in_features, out_features, "random", bias, **options)


class StackedSparseLinear(Patterned):
    """Members of equal size side by side: (members, batch, in) to (members, batch, out).

    Their patterns may differ, their number of connections may not.
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
        self.register_buffer("flat", None, persistent=False)
        self.fill()

    def make_table(self) -> torch.Tensor:
        """Where each connection stands in the weight of its member."""
        return torch.stack([torch.from_numpy(p.flat) for p in self.tables])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        path = self.route(x)
        if path == "native":
            weight, bias = self.held()
            return kernels.native_linear(x, weight, bias, self.table, len(weight))
        if path == "traced":
            sizes = self.shape[1], self.shape[0]
            return kernels.traced_linear(x, *self.held(), self.places(), *sizes)
        if path == "bag":
            return kernels.bag_stacked(x, self.weight, self.bias, self.pattern)
        return kernels.dense_stacked(x, self.weight, self.bias, self.places(), self.shape)

    @property
    def table(self) -> kernels.Table:
        """The connections of all members; one for all if they share a pattern."""
        return kernels.stacked(self.pattern, self.tables)

    def path(self, x: torch.Tensor) -> str:
        """How this input would be multiplied: dense, bag or native."""
        backend = kernels.wanted(self.backend)
        members, nonzeros = self.weight.shape
        sizes = self.shape[1], self.shape[0], nonzeros, members
        return kernels.choose(backend, (x, self.weight), sizes, (), lambda: self.trials(x))

    def trials(self, x: torch.Tensor):
        """What makes the calls to be timed, for inputs like this one."""
        flat, bias = self.places(), self.bias is not None
        return kernels.stack_trials(self.pattern, self.table, flat, self.shape, bias)


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
