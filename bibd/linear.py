"""Linear layers that hold only the connections their pattern has."""

from typing import Any

import torch
from torch import nn

from bibd import kernels
from bibd.design import Design
from bibd.layer import SparseLayer, one_of, resolve
from bibd.pattern import Pattern
from bibd.stacked import StackedSparseLinear


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
