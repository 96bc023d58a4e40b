"""Linear layers that hold only the connections their pattern has.

`layer.weight` is one value per connection, in row order: numel() is the true parameter count,
and an optimizer cannot touch an entry that is not there. `to_dense()` shows the full matrix.
"""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd import kernels
from bibd.design import Design
from bibd.pattern import Pattern, make_pattern
from bibd.stacked import StackedSparseLinear

INITS = ("true", "dense")


class SparseLinear(nn.Module):
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
        backend: "auto", "dense" or "bag"; see bibd.kernels.
        device: Where parameters are made.
        dtype: Of the parameters.
    """

    flat: torch.Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pattern: str | Design | Pattern = "iddl",
        bias: bool = True,
        seed: int | None = None,
        init: str = "true",
        backend: str = "auto",
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.pattern = _resolve(pattern, in_features, out_features, seed)
        self.init = _one_of("init", init, INITS)
        self.backend = _one_of("backend", backend, kernels.BACKENDS)
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(self.pattern.nonzeros, **made))
        self.bias = nn.Parameter(torch.empty(out_features, **made)) if bias else None
        flat = torch.empty(self.pattern.nonzeros, dtype=torch.int64, device=device)
        self.register_buffer("flat", flat, persistent=False)
        self.reset_parameters()

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.pattern.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.pattern.out_features

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (out, in) of the weight that to_dense() returns."""
        return self.out_features, self.in_features

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the values anew, and refill the index table (which to_empty() leaves blank)."""
        self.flat.copy_(torch.from_numpy(self.pattern.flat))
        fan_in = self.pattern.fan_in
        fans = np.repeat(fan_in, fan_in) if self.init == "true" else self.in_features
        self.weight.normal_().mul_(torch.as_tensor(np.sqrt(2.0 / fans)).to(self.weight))
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(
                torch.as_tensor(np.maximum(fan_in, 1) ** -0.5).to(self.bias)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to (..., out_features)."""
        path = kernels.choose(self.backend, x, self.in_features * self.out_features)
        if path == "bag":
            return kernels.bag_linear(x, self.weight, self.bias, self.pattern)
        return kernels.dense_linear(x, self.weight, self.bias, self.flat, self.shape)

    def to_dense(self) -> torch.Tensor:
        """The full weight (out, in); gradients flow back to the values."""
        return kernels.dense_weight(self.weight, self.flat, self.shape)

    def cost(self, input_shape, output_shape) -> dict[str, int]:
        """What one call costs, in the terms of the cost protocol."""
        positions = prod(output_shape[:-1])
        held = [p for p in (self.weight, self.bias) if p is not None]
        return {
            "macs": positions * self.pattern.nonzeros,
            "nonzeros": self.pattern.nonzeros,
            "bytes": sum(p.numel() * p.element_size() for p in [*held, self.flat]),
            "bias_adds": 0 if self.bias is None else positions * self.out_features,
        }

    @classmethod
    def stack(cls, layers: "list[SparseLinear]") -> nn.Module:
        """One module with a leading axis of members: the stack protocol."""
        return StackedSparseLinear(layers)

    def get_extra_state(self) -> torch.Tensor:
        """What a checkpoint needs to know whether its values fit this pattern: text, as bytes."""
        text = f"{self.pattern.digest()} {self.pattern}"
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Refuse values of other connections; fill the index table where only the values came."""
        digest, name = bytes(state.tolist()).decode().split(" ", 1)
        mine = self.pattern.digest()
        if digest != mine:
            raise ValueError(
                f"these values belong to pattern {name} ({digest[:12]}), this layer has "
                f"{self.pattern} ({mine[:12]}): build it with that pattern"
            )
        self.flat = torch.from_numpy(self.pattern.flat).to(self.weight.device)

    def extra_repr(self) -> str:
        """Sizes, pattern and density, as print(model) shows them."""
        return (
            f"{self.in_features}, {self.out_features}, pattern={self.pattern}, "
            f"nonzeros={self.pattern.nonzeros} ({self.pattern.density:.2%}), "
            f"bias={self.bias is not None}"
        )


class BibdLinear(SparseLinear):
    """SparseLinear with the pattern of the IDDL study."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **options):
        super().__init__(in_features, out_features, "iddl", bias, **options)


class RandomSparseLinear(SparseLinear):
    """SparseLinear with as many connections as BibdLinear, anywhere."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **options):
        super().__init__(in_features, out_features, "random", bias, **options)


def _resolve(pattern: str | Design | Pattern, v: int, b: int, seed: int | None) -> Pattern:
    if not isinstance(pattern, Pattern):
        if seed is None and str(pattern).startswith("random"):
            seed = int(torch.randint(2**31, (), device="cpu"))
        return make_pattern(pattern, v, b, seed)
    if seed is not None:
        raise ValueError(f"a Pattern has its own order; seed={seed} would do nothing, leave it out")
    if (pattern.in_features, pattern.out_features) != (v, b):
        raise ValueError(
            f"the pattern is for a layer ({pattern.in_features}, {pattern.out_features}), "
            f"this layer is ({v}, {b}): pass a pattern of that size, or the name of one"
        )
    return pattern


def _one_of(what: str, got: str, allowed: tuple[str, ...]) -> str:
    if got not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {got!r}")
    return got
