"""The base of sparse linear and convolutional layers: values on the connections of a pattern.

    weight   (connections, *window)   one value per connection, or one kernel of a convolution
    bias     (outputs,) or None
    flat     where each connection stands in the row-major table (outputs, inputs)

`weight.numel()` is the true parameter count, and an optimizer cannot touch an entry that is not
there. `to_dense()` shows the weight as nn.Linear or nn.Conv2d would hold it.

The functions of torch.nn.init read their fan-in off the shape of a tensor, which `weight` does not
have: `bibd.init(net, fn)` applies them as they are meant.
"""

from math import prod
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from bibd import advice, kernels
from bibd.design import Design
from bibd.initialize import wrong_start
from bibd.kernels import modes
from bibd.pattern import Pattern, make_pattern
from bibd.state import Patterned

INITS = ("true", "dense")


class SparseLayer(Patterned):
    """The parameters, start, checkpoint and text of a layer that follows a pattern."""

    def __init__(
        self, pattern: Pattern, window: tuple[int, ...], bias: bool, init: str, device, dtype
    ):
        super().__init__()
        self.pattern, self._window, self.init = pattern, window, one_of("init", init, INITS)
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(pattern.nonzeros, *window, **made))
        self.bias = nn.Parameter(torch.empty(pattern.out_features, **made)) if bias else None
        self._register_table()
        self.reset_parameters()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight that to_dense() returns."""
        return self.pattern.out_features, self.pattern.in_features, *self._window

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the values anew, by the fan-in that `init` names."""
        self._fill()
        fan_in, size = self.pattern.fan_in, prod(self._window)
        fans = np.repeat(fan_in, fan_in) * size if self.init == "true" else self._dense_fan()
        scale = torch.from_numpy(np.broadcast_to(np.sqrt(2.0 / fans), len(self.weight)).copy())
        self.weight.normal_().mul_(scale.view(-1, *[1] * len(self._window)).to(self.weight))
        if self.bias is not None:
            bound = torch.from_numpy(np.maximum(fan_in * size, 1) ** -0.5)
            self.bias.uniform_(-1, 1).mul_(bound.to(self.bias))
        self._drawn = self.weight._version  # until the first call, to see who writes over it

    def _look_inside(self) -> None:
        super()._look_inside()
        if not modes.quiet():
            return  # (values that a transform brings are no numbers to look at)
        drawn, self._drawn = self._drawn, None
        if drawn not in (None, self.weight._version) and (wrong := wrong_start(self)):
            advice.warn(f"{self._title()}: {wrong}")

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if f"{prefix}weight" in state_dict:
            self._drawn = None  # (what was trained may have any scale)

    def _title(self) -> str:
        inputs = self.pattern.in_features * self.pattern.groups
        kind = type(self).__name__.removeprefix("Parametrized")
        return f"{kind}({inputs}, {self.pattern.out_features})"

    def _make_table(self) -> torch.Tensor:
        """Return where each connection stands in the row-major weight."""
        return torch.from_numpy(self.pattern.flat)

    def _dense_fan(self) -> int:
        """Return the fan by which the IDDL study started this kind of layer."""
        raise NotImplementedError

    def to_dense(self) -> torch.Tensor:
        """Return the full weight; gradients flow back to the values."""
        return kernels.dense_weight(self.weight, self._places(), self.shape)

    @classmethod
    def from_dense(
        cls,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        pattern: str | Design | Pattern | None = None,
        *,
        strict: bool = True,
        **options,
    ) -> Self:
        """Make a layer with a dense weight's values: `SparseLinear.from_dense(w, b, "bibd")`.

        Args:
            weight: As nn.Linear (out, in) or nn.Conv2d (out, in/groups, kh, kw) hold it. One that
                is masked already names its mask as a design: `bibd.from_mask(w != 0)`.
            bias: None makes a layer without.
            pattern: As in the constructor.
            strict: Refuse to lose values off the pattern.
            **options: Other arguments of the constructor, such as seed, stride and groups.

        Raises:
            ValueError: values off the pattern; says how much would be lost.
        """
        if not isinstance(weight, torch.Tensor):
            kind = type(weight).__name__
            raise ValueError(f"expected a tensor, got {kind}: pass layer.weight and layer.bias")
        made = {"device": weight.device, "dtype": weight.dtype, "bias": bias is not None} | options
        if pattern is not None:
            made["pattern"] = pattern
        layer = cls(*cls._sizes(tuple(weight.shape), made.get("groups", 1)), **made)
        return layer.load_dense(weight, bias, strict)

    @staticmethod
    def _sizes(shape: tuple[int, ...], groups: int) -> tuple[Any, ...]:
        """Return the first arguments of a layer whose weight has this shape."""
        raise NotImplementedError

    @torch.no_grad()
    def load_dense(
        self, weight: torch.Tensor, bias: torch.Tensor | None = None, strict: bool = True
    ) -> Self:
        """Take the values of a dense weight that lie on the pattern.

        Raises:
            ValueError: another shape, or, if strict, values off the pattern; says how much.
        """
        self._check_shapes(weight, bias)
        values = weight.reshape(-1, *self._window)[self._places()]
        if strict:
            self._refuse_loss(weight, values)
        self.weight.copy_(values)
        self._drawn = None
        if self.bias is not None and bias is not None:
            self.bias.copy_(bias)
        return self

    def _check_shapes(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        if tuple(weight.shape) != self.shape:
            raise ValueError(
                f"expected a weight of shape {self.shape}, got {tuple(weight.shape)} "
                f"(pattern {self.pattern})"
            )
        if (bias is None) != (self.bias is None):
            raise ValueError(
                f"this layer has {'no' if self.bias is None else 'a'} bias, but "
                f"{'none' if bias is None else 'one'} was given: make it with bias="
                f"{bias is not None}"
            )
        if bias is not None and tuple(bias.shape) != self.shape[:1]:
            raise ValueError(f"expected a bias of shape {self.shape[:1]}, got {tuple(bias.shape)}")

    def _refuse_loss(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        if weight.count_nonzero() == values.count_nonzero():  # (NaN is not zero)
            return
        whole, kept = (float(x.double().square().sum()) for x in (weight, values))
        lost = whole - kept
        raise ValueError(
            f"{lost / whole:.1%} of the weight (of its sum of squares, {lost:.4g} of {whole:.4g}) "
            f"lies outside pattern {self.pattern} and would be lost; strict=False accepts that"
        )

    def cost(self, input_shape, output_shape) -> dict[str, int]:
        """Return what one call costs, in the terms of the cost protocol."""
        positions = prod(output_shape) // self.pattern.out_features
        held = [p for p in (self.weight, self.bias) if p is not None]
        return {
            "macs": positions * self.weight.numel(),
            "nonzeros": self.weight.numel(),
            "bytes": sum(p.numel() * p.element_size() for p in [*held, self.flat]),
            "bias_adds": 0 if self.bias is None else prod(output_shape),
        }

    def describe(self) -> str:
        """Return pattern, what it really is, and density, for print(model)."""
        p = self.pattern
        unread = f", unread inputs={p.unread}" if p.unread else ""
        return (
            f"pattern={p} [{p.label}], nonzeros={self.weight.numel()} ({p.density:.2%}){unread}, "
            f"bias={self.bias is not None}"
        )


def resolve(
    pattern: str | Design | Pattern,
    inputs: int,
    outputs: int,
    seed: int | None,
    nonzeros: int | None = None,
    groups: int = 1,
) -> Pattern:
    """Return the pattern that a user named for a layer; warns where inputs are left out."""
    if not isinstance(pattern, Pattern):
        if seed is None and str(pattern).startswith("random"):
            seed = int(torch.randint(2**31, (), device="cpu"))
        table = make_pattern(pattern, inputs, outputs, seed, nonzeros, groups)
        if table.unread and isinstance(pattern, str):  # (who brings a design has looked at it)
            advice.unread(str(table), inputs, outputs, table.unread)
        return table
    if seed is not None or nonzeros is not None:
        raise ValueError(
            f"a Pattern has its own order and count; seed={seed} and nonzeros={nonzeros} would do "
            "nothing, leave them out"
        )
    if (*pattern.shape, pattern.groups) != (inputs // groups, outputs, groups):
        own = f"{pattern.in_features * pattern.groups} inputs and {pattern.out_features} outputs"
        raise ValueError(
            f"{pattern} is for {own}{_in_groups(pattern.groups)}, this layer has {inputs} and "
            f"{outputs}{_in_groups(groups)}: pass a pattern of that size, or the name of one"
        )
    return pattern


def _in_groups(groups: int) -> str:
    return "" if groups == 1 else f" in {groups} groups"


def one_of(what: str, got: str, allowed: tuple[str, ...]) -> str:
    """Return the word itself if it is allowed, and raise otherwise."""
    if got not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {got!r}")
    return got
