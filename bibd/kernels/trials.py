"""Makes the calls that bibd.kernels.tune times: each path of a layer on numbers of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from bibd.kernels import build
from bibd.kernels.bag import bag_linear, bag_stacked
from bibd.kernels.conv_ops import differentiable as traced_conv
from bibd.kernels.conv_ops import native_conv, window_of
from bibd.kernels.dense import dense_linear, dense_weight
from bibd.kernels.gpu import card
from bibd.kernels.gpu.check import held
from bibd.kernels.gpu.check_conv import hold as hold_conv
from bibd.kernels.linear_ops import differentiable as traced_linear
from bibd.kernels.linear_ops import native_linear
from bibd.kernels.table import Table
from bibd.kernels.table import table as of_pattern
from bibd.pattern import Pattern

LARGE = 32  # side of tiles


def numbers(
    *sizes: tuple[int, ...] | None,
    dtype: torch.dtype,
    train: bool,
    device: torch.device | str = "cpu",
) -> list[Any]:
    """Return random tensors that are not drawn from the generator of the user's own numbers."""
    generator = torch.Generator(device).manual_seed(0)
    made: list[Any] = []
    with torch.inference_mode(False):
        for size in sizes:
            if size is None:
                made.append(None)
                continue
            t = torch.randn(size, generator=generator, device=device).to(dtype)
            made.append(t.requires_grad_(train))
    return made


def trial(path: Callable[..., torch.Tensor], tensors: list[Any], train: bool) -> Callable[[], Any]:
    """Return one call of a path, with its backward pass if there is training."""
    leaves = [t for t in tensors if t is not None]

    def run():
        with torch.inference_mode(False), torch.set_grad_enabled(train):
            y = path(*tensors)
            return torch.autograd.grad(y, leaves, y.detach()) if train else y

    return run


def linear_trials(
    pattern: Pattern, flat: torch.Tensor, bias: bool, tile: int = 0
) -> Callable[[int, torch.dtype, bool], dict[str, Callable[[], Any]]]:
    """Return what makes the calls of each path of SparseLinear."""
    shape = pattern.out_features, pattern.in_features
    if card.on_card(flat):
        return card_trials(flat.unsqueeze(0), shape, bias, tile)
    table = of_pattern(pattern)

    def make(batch: int, dtype: torch.dtype, train: bool):
        sizes = (batch, shape[1]), (pattern.nonzeros,), shape[:1] if bias else None
        tensors = numbers(*sizes, dtype=dtype, train=train)
        paths = {
            "native": lambda x, v, b: native_linear(x, v, b, table),
            "bag": lambda x, v, b: bag_linear(x, v, b, pattern),
            "dense": lambda x, v, b: dense_linear(x, v, b, flat, shape),
        }
        return trials(paths, tensors, dtype, train)

    return make


def stack_trials(
    pattern: Pattern,
    table: Callable[[], Table],
    flat: torch.Tensor,
    shape: tuple[int, int],
    bias: bool,
    tile: int = 0,
) -> Callable[[int, torch.dtype, bool], dict[str, Callable[[], Any]]]:
    """Return what makes the calls of each path of StackedSparseLinear.

    The pattern is the one of all members side by side.
    """
    members = len(flat)
    if card.on_card(flat):
        return card_trials(flat, shape, bias, tile, (members,))
    native = table()

    def make(batch: int, dtype: torch.dtype, train: bool):
        sizes = (members, batch, shape[1]), flat.shape, (members, shape[0], 1) if bias else None
        tensors = numbers(*sizes, dtype=dtype, train=train)
        paths = {
            "native": lambda x, v, b: native_linear(x, v, b, native, members),
            "bag": lambda x, v, b: bag_stacked(x, v, b, pattern),
            "dense": lambda x, v, b: dense_stacked(x, v, b, flat, shape),
        }
        return trials(paths, tensors, dtype, train)

    return make


def card_trials(
    flat: torch.Tensor,
    shape: tuple[int, int],
    bias: bool,
    tile: int,
    members: tuple[int, ...] = (),
) -> Callable[[int, torch.dtype, bool], dict[str, Callable[[], Any]]]:
    """Return what makes the calls of each path on a card, of one layer or of a stack.

    What is not dense is held beside float64 first, and says what is wrong in a ValueError. Of large
    tiles no single connections are tried: their tables take many seconds, and the products longer.
    """
    sides = {"triton": tile} if tile else {}
    sides |= {"cuda": 0} if tile < LARGE else {}

    def dense(x, v, b):
        if members:
            return dense_stacked(x, v, b, flat, shape)
        return dense_linear(x, v, b, flat[0], shape)

    def sparse(side: int):
        return lambda x, v, b: traced_linear(x, v, b, flat, shape[1], shape[0], side)

    def make(batch: int, dtype: torch.dtype, train: bool):
        of_bias = (*members, shape[0], *[1] * len(members)) if bias else None
        sizes = (*members, batch, shape[1]), (*members, flat.shape[1]), of_bias
        tensors = numbers(*sizes, dtype=dtype, train=train, device=flat.device)
        calls = {"dense": trial(dense, tensors, train)}
        first = len(members)
        rows, values = (t.detach().reshape(-1, *t.shape[first:]) for t in tensors[:2])
        why = partial(why_not, rows, values, flat, shape, train)
        for path, side in sides.items():
            call = trial(sparse(side), tensors, train)
            calls[path] = checked(call, partial(why, side))
        return {path: uncast(call, flat.device.type) for path, call in calls.items()}

    return make


def why_not(x, values, flat, shape, train: bool, side: int) -> str:
    """Return what speaks against a kernel for one of these members; empty if nothing does."""
    found = (held(x[m], values[m], flat[m], shape[::-1], side, train) for m in range(len(flat)))
    return next(filter(None, found), "")


def checked(call: Callable[[], Any], why: Callable[[], str]) -> Callable[[], Any]:
    """Return a call that asks before its first time whether something speaks against it."""
    asked: list[str] = []

    def run():
        if not asked:
            asked.append(why())
        if asked[0]:
            raise ValueError(asked[0])
        return call()

    return run


def uncast(call: Callable[[], Any], device: str) -> Callable[[], Any]:
    """Return a call whose numbers autocast leaves as they are."""

    def run():
        with torch.autocast(device, enabled=False):
            return call()

    return run


def dense_stacked(x, values, bias, flat, shape) -> torch.Tensor:
    """Map (members, batch, in) to (members, batch, out) in one dense product."""
    weight = dense_weight(values, flat, shape, (len(values),))
    # (out, in) @ (in, batch): the gradient then comes in the layout of the weight, uncopied.
    if bias is None:
        return torch.bmm(weight, x.mT).mT
    return torch.baddbmm(bias, weight, x.mT).mT


def conv_trials(
    pattern: Pattern,
    table: Callable[[], Table],
    flat: torch.Tensor,
    geometry: tuple[int, ...],
    bias: bool,
    tile: int = 0,
) -> Callable[[int, torch.dtype, bool], dict[str, Callable[[], Any]]]:
    """Return what makes the calls of each path of a SparseConv2d with a square window.

    On a card the tiles are held beside float64 first, and say what is wrong in a ValueError.
    """
    window, stride, top, left, height, width = geometry
    shape = pattern.out_features, pattern.in_features, window, window
    inputs = pattern.in_features * pattern.groups

    def make(batch: int, dtype: torch.dtype, train: bool):
        sizes = (batch, inputs, height, width), (pattern.nonzeros, window, window)
        sizes += (shape[:1] if bias else None,)
        tensors = numbers(*sizes, dtype=dtype, train=train, device=flat.device)
        padding = [top, left]

        def dense(x, v, b):
            weight = dense_weight(v, flat, shape)
            return F.conv2d(x, weight, b, stride, padding, 1, pattern.groups)

        if card.on_card(flat):
            return on_card(dense, tensors, train)
        paths = {"dense": dense}
        if flat.device.type == "cpu":
            of = table()
            paths["native"] = lambda x, v, b: native_conv(x, v, b, of, stride, padding)
        return trials(paths, tensors, dtype, train)

    def on_card(dense, tensors, train: bool):
        sizes, places = (inputs, shape[0], pattern.groups), flat.unsqueeze(0)

        def sparse(x, v, b):
            return traced_conv(x, v, b, places, sizes, stride, [top, left], tile)

        calls = {"dense": trial(dense, tensors, train)}
        if tile:
            x, values = (t.detach() for t in tensors[:2])
            of = window_of(geometry)
            why = partial(held, x, values, places, sizes, of, tile, train, by=hold_conv)
            calls["triton"] = checked(trial(sparse, tensors, train), why)
        return {path: uncast(call, flat.device.type) for path, call in calls.items()}

    return make


def one_trial(dense: Callable[..., torch.Tensor], size: tuple[int, ...], device: torch.device):
    """Return what makes the call of a layer that has only one path."""

    def make(batch: int, dtype: torch.dtype, train: bool):
        tensors = numbers((batch, *size), dtype=dtype, train=train, device=device)
        return {"dense": trial(dense, tensors, train)}

    return make


def trials(paths: dict[str, Any], tensors: list[Any], dtype: torch.dtype, train: bool):
    """Return the calls of those paths that can run here."""
    left_out = set() if build.library() else {"native"}
    if dtype not in (torch.float32, torch.float64):
        left_out.add("bag")
    return {k: trial(path, tensors, train) for k, path in paths.items() if k not in left_out}
