"""2-D convolutions whose filters read only some of their input channels.

    filters          channels 0 1 2 3        a whole k-by-k kernel stands for each x:
       0                      K . K .        the pattern is between channels, as in the IDDL study
       1                      . K . K        (which calls this depthwise sparsification)

With groups, each group has a design of its own, between its inputs/groups channels and its
outputs/groups filters. No filter is ever without an input.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bibd import kernels
from bibd.design import Design
from bibd.layer import SparseLayer, one_of, resolve
from bibd.pattern import Pattern, without_dead
from bibd.signature import checked

Size = int | tuple[int, int]
MODES = ("zeros", "reflect", "replicate", "circular")
BACKENDS = ("auto", "dense", "native", "triton")


class SparseConv2d(SparseLayer):
    """Takes the place of nn.Conv2d, whose arguments it has, in that order.

    `weight` has one kernel for each connection, (connections, *kernel_size). `to_dense()` shows it
    as nn.Conv2d holds it, `from_dense` takes one, `bibd.certify(layer)` says what the pattern is,
    and `bibd.init(layer, fn)` draws the values by a function of torch.nn.init, which would read
    a wrong fan-in off the shape of `weight`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, which are the filters.
        kernel_size: Height and width of each filter.
        stride: Step of the window.
        padding: Rows and columns added on both sides, or "same" or "valid".
        dilation: Distance between the entries of the window.
        groups: Separate parts of channels, each with a design of its own.
        bias: Adds a learned number to each filter's output.
        padding_mode: zeros, reflect, replicate or circular.
        pattern: Name of a family (bibd.families); a Design of in_channels/groups points and
            out_channels/groups blocks; or a Pattern.
        seed: Seed of the pattern; see SparseLinear.
        init: Kaiming normal: "true" by the connections a filter really has, "dense" (the IDDL
            study) by out_channels times the window.
        device: Where parameters are made.
        dtype: Type of the parameters.
        nonzeros: How many connections between channels, without groups; see SparseLinear.
        backend: "auto", "dense", "native" or, on a GPU and for channels in tiles, "triton" (square
            windows of 1 or 3 with stride 1 or 2 and without dilation; others are dense); see
            bibd.kernels.
    """

    @checked
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        pattern: str | Design | Pattern = "bibd",
        seed: int | None = None,
        init: str = "true",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        nonzeros: int | None = None,
        backend: str = "auto",
    ):
        one_of("backend", backend, BACKENDS)
        kernel = _pair("kernel_size", kernel_size, 1)
        self.padding_mode = one_of("padding_mode", padding_mode, MODES)
        table = resolve(pattern, in_channels, out_channels, seed, nonzeros, groups)
        if isinstance(pattern, str):
            table = without_dead(table)
        super().__init__(table, kernel, bias, init, device, dtype)
        self.backend = backend
        self.stride = _pair("stride", stride, 1)
        self.dilation = _pair("dilation", dilation, 1)
        self.padding = _padding(padding, self.stride)
        # What the kernels can do, and the padding that they get.
        self.plain = kernel in ((1, 1), (3, 3)) and self.stride in ((1, 1), (2, 2))
        self.plain = self.plain and self.dilation == (1, 1)
        left, _, top, _ = self._sides()
        self._padded = (top, left) if self.padding_mode == "zeros" else (0, 0)

    @staticmethod
    def _sizes(shape: tuple[int, ...], groups: int) -> tuple[Any, ...]:
        """Return the first arguments of a layer whose weight has this shape."""
        if len(shape) != 4:
            raise ValueError(f"expected a weight (out, in/groups, kh, kw), got shape {shape}")
        return shape[1] * groups, shape[0], shape[2:]

    @property
    def groups(self) -> int:
        """The number of separate parts of channels."""
        return self.pattern.groups

    @property
    def in_channels(self) -> int:
        """The number of input channels, in all groups together."""
        return self.pattern.in_features * self.groups

    @property
    def out_channels(self) -> int:
        """The number of filters."""
        return self.pattern.out_features

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """The height and width of each filter."""
        return self._window

    def _dense_fan(self) -> int:
        # The fan-out of nn.Conv2d, as in the IDDL study.
        return self.out_channels * self._window[0] * self._window[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, in_channels, h, w), or one sample without batch axis."""
        padding = self.padding
        if self.padding_mode != "zeros":
            self._look(x)
            x, padding = F.pad(x, self._sides(), mode=self.padding_mode), 0
        geometry = self._geometry(x)
        path = self._route(x) if geometry else self._look(x) or "dense"
        if path != "dense":
            y = self._native(x if x.ndim == 4 else x.unsqueeze(0), geometry, path)
            return y if x.ndim == 4 else y.squeeze(0)
        return self._dense(x, padding)

    def _dense(self, x: torch.Tensor, padding: Any) -> torch.Tensor:
        how = self.stride, padding, self.dilation, self.groups
        return kernels.unchanged(F.conv2d(x, self.to_dense(), self.bias, *how), x, self.weight)

    def _native(self, x: torch.Tensor, geometry: tuple[int, ...], path: str) -> torch.Tensor:
        held, how = self._held(), (geometry[1], list(geometry[2:4]))
        if path == "native":
            return kernels.native_conv(x, *held, kernels.table(self.pattern), *how)
        sizes = self.in_channels, self.out_channels, self.groups
        flat, tile = self._places().unsqueeze(0), self._tiled(path)
        return kernels.traced_conv(x, *held, flat, sizes, *how, tile)

    def path(self, x: torch.Tensor) -> str:
        """Return how this input would be convolved: "dense", "native" or "triton"."""
        backend, geometry = kernels.wanted(self.backend, BACKENDS), self._geometry(x)
        if not geometry:
            return "dense"
        p = self.pattern
        sizes = self.in_channels, p.out_features, p.nonzeros, 1
        given = (x, self.weight), sizes, geometry, lambda: self._trials(x)
        return kernels.choose(backend, *given, self._tile)

    def _trials(self, x: torch.Tensor):
        """Return what makes the calls to be timed, for inputs like this one."""
        geometry, bias = self._geometry(x), self.bias is not None
        if not geometry:
            dense = lambda x: self._dense(x, self.padding)  # noqa: E731
            return kernels.one_trial(dense, tuple(x.shape[1:]), x.device)
        p = self.pattern
        table = lambda: kernels.table(p)  # noqa: E731
        return kernels.conv_trials(p, table, self._places(), geometry, bias, self._tile)

    def _side(self) -> int:
        sizes = self.in_channels, self.out_channels
        return kernels.side_of(kernels.ungrouped(self.pattern.flat, *sizes, self.groups), *sizes)

    def _geometry(self, x: torch.Tensor) -> tuple[int, ...]:
        """Return window, stride, padding and image size; empty if no kernel can do it."""
        if not isinstance(x, torch.Tensor) or not self.plain or x.ndim not in (3, 4):
            return ()
        if kernels.modes.jit():  # sizes are tensors there
            return ()
        height, width = x.shape[-2:]
        top, left = self._padded
        small = height + 2 * top < self._window[0] or width + 2 * left < self._window[0]
        if small or x.shape[-3] != self.in_channels:
            return ()  # for the dense path to refuse
        return self._window[0], self.stride[0], top, left, height, width

    def _sides(self) -> list[int]:
        """Return the padding left, right, above and below, in the order that F.pad takes."""
        sides: list[int] = []
        for axis in (1, 0):
            if isinstance(self.padding, str):
                total = self.dilation[axis] * (self._window[axis] - 1)
                total = total if self.padding == "same" else 0
                sides += [total // 2, total - total // 2]
            else:
                sides += [self.padding[axis]] * 2
        return sides

    @classmethod
    def stack(cls, layers: "list[SparseConv2d]") -> nn.Module:
        """Make one module with a leading axis of members (the stack protocol)."""
        return LoopedSparseConv2d(layers)

    def _fits(self, x: torch.Tensor) -> bool:
        return x.ndim in (3, 4) and x.shape[-3] == self.in_channels

    def _wants(self) -> str:
        return f"(batch, {self.in_channels}, height, width)"

    def _fix(self, x: torch.Tensor) -> str:
        if x.ndim in (3, 4) and x.shape[-1] == self.in_channels != x.shape[-2]:
            return "x.movedim(-1, -3) puts the channels first"
        if x.ndim not in (3, 4):
            return (
                f"x has {x.ndim} axes, a batch of pictures 4 and one picture 3; what has no height "
                "and width is for SparseLinear"
            )
        return "make the layer for as many channels as x has"

    def extra_repr(self) -> str:
        """Return what nn.Conv2d prints of itself, and then the pattern."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        for name, default in (defaults | {"padding_mode": "zeros"}).items():
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join([*parts, self.describe()])


class BibdConv2d(SparseConv2d):
    """A SparseConv2d with the pattern `bibd` between channels: the lines of a finite plane.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, which are the filters.
        kernel_size: Height and width of each filter.
        stride: Step of the window.
        padding: Rows and columns added on both sides, or "same" or "valid".
        dilation: Distance between the entries of the window.
        groups: Separate parts of channels, each with a pattern of its own.
        bias: Adds a learned number to each filter's output.
        padding_mode: zeros, reflect, replicate or circular.
        seed: Permutes channels of the pattern. None: the canonical order.
        init: Kaiming normal: "true" by the connections of a filter, "dense" by out_channels.
        device: Where parameters are made.
        dtype: Type of the parameters.
        backend: "auto", "dense", "native" or "triton" (GPU); see bibd.kernels.
    """

    PATTERN = "bibd"

    @checked
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        seed: int | None = None,
        init: str = "true",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        backend: str = "auto",
    ):
        sizes = in_channels, out_channels, kernel_size, stride, padding, dilation
        made = dict(device=device, dtype=dtype, backend=backend)
        more = dict(pattern=self.PATTERN, seed=seed, init=init)
        super().__init__(*sizes, groups, bias, padding_mode, **more, **made)  # pyright: ignore


class RandomSparseConv2d(SparseConv2d):
    """A SparseConv2d with random connections (pattern `random`), to compare designs with.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, which are the filters.
        kernel_size: Height and width of each filter.
        stride: Step of the window.
        padding: Rows and columns added on both sides, or "same" or "valid".
        dilation: Distance between the entries of the window.
        groups: Separate parts of channels, each with a pattern of its own.
        bias: Adds a learned number to each filter's output.
        padding_mode: zeros, reflect, replicate or circular.
        seed: Seed of the draw. None: one from torch's generator, so that layers differ.
        init: Kaiming normal: "true" by the connections of a filter, "dense" by out_channels.
        device: Where parameters are made.
        dtype: Type of the parameters.
        nonzeros: How many connections. None: as many as the modular rule has for this size.
        backend: "auto", "dense", "native" or "triton" (GPU); see bibd.kernels.
    """

    PATTERN = "random"

    @checked
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        seed: int | None = None,
        init: str = "true",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        nonzeros: int | None = None,
        backend: str = "auto",
    ):
        sizes = in_channels, out_channels, kernel_size, stride, padding, dilation
        made = dict(device=device, dtype=dtype, backend=backend, nonzeros=nonzeros)
        more = dict(pattern=self.PATTERN, seed=seed, init=init)
        super().__init__(*sizes, groups, bias, padding_mode, **more, **made)  # pyright: ignore


class LoopedSparseConv2d(nn.Module):
    """Stacked convolutions that run one after the other; their patterns may differ.

    Input and output are (members, batch, channels, h, w).
    """

    def __init__(self, layers: Sequence[SparseConv2d]):
        super().__init__()
        self.members = nn.ModuleList(copy.deepcopy(layer) for layer in layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        return torch.stack([m(part) for m, part in zip(self.members, x, strict=True)])


def _pair(name: str, got: Any, least: int) -> tuple[int, int]:
    pair = tuple(got) if isinstance(got, tuple | list) else (got, got)
    whole = all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= least for n in pair
    )
    if len(pair) != 2 or not whole:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, or two of them, got {got!r}"
        )
    return int(pair[0]), int(pair[1])


def _padding(padding: Any, stride: tuple[int, int]) -> tuple[int, int] | str:
    if not isinstance(padding, str):
        return _pair("padding", padding, 0)
    one_of("padding", padding, ("same", "valid"))
    if padding == "same" and stride != (1, 1):
        raise ValueError(
            f"padding='same' needs stride 1, got {stride}: give the padding as numbers"
        )
    return padding
