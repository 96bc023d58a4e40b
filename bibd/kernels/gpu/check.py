"""Holds a kernel of a card beside a float64 twin on that card, before `auto` may take it.

A result is a sum of n products, made in float32 in any order and rounded once. Its error is below

    (gamma(n + 4) + cut) S + eps |exact|     gamma(m) = m u / (1 - m u)    S: sum of absolute values

(Higham, Accuracy and Stability, 3.1). u is 2^-23: tensor cores cut where others round; cut is 2^-9
where tiles of float32 are multiplied in TF32, which cuts both factors. One wrong connection of a
hundred is far above that. The twin is the dense path in float64: of a few samples for the output
and the gradient of the input, of a few outputs for that of the weight.
"""

from collections.abc import Callable

import torch

from bibd.kernels.dense import dense_weight
from bibd.kernels.gpu import products
from bibd.kernels.gpu.compile import notice
from bibd.kernels.gpu.fit import Unfit
from bibd.kernels.gpu.tiles import precision

SOME = 64  # samples, or outputs, that are looked at: the first, the last, and between
UNIT, TF32 = 2.0**-23, 2.0**-9


def hold(
    x: torch.Tensor, values: torch.Tensor, flat: torch.Tensor, sizes: tuple[int, int],
    tile: int, train: bool,
) -> None:  # fmt: skip
    """Compare the products of one layer, x (batch, in) and values (n,), with the twin's.

    Raises:
        Unfit: there is no kernel for them, or a result is above its bound.
    """
    (inputs, outputs), table, cut = sizes, flat.unsqueeze(0), TF32 * cuts(tile, x.dtype)
    owner, some = flat // inputs, spread(len(x), x.device)
    full = lambda v: dense_weight(v, flat, (outputs, inputs))  # noqa: E731
    y = products.rows(x[None], values[None], table, sizes, False, tile)[0]
    close("output", y[some], both(lambda u, v: u @ full(v).T, x[some], values), most(owner), cut)
    if not train:
        return
    dx = products.rows(y[None], values[None], table, sizes, True, tile)[0]
    terms = most(flat % inputs)
    close("input", dx[some], both(lambda u, v: u @ full(v), y[some], values), terms, cut)
    dv = products.weights(y[None], x[None], table, sizes, tile)[0]
    picked = spread(outputs, x.device)
    mine = torch.isin(owner, picked)
    at = torch.searchsorted(picked, owner[mine]), flat[mine] % inputs
    close("weight", dv[mine], both(lambda g, u: (g.T @ u)[at], y[:, picked], x), len(x), cut)


def held(*given, by: Callable[..., None] | None = None) -> str:
    """Return why there is no such kernel, or what is wrong with it; empty if it may be taken."""
    try:
        with torch.no_grad():
            (by or hold)(*given)
    except Unfit as why:
        return str(why)
    return ""


def close(
    what: str,
    got: torch.Tensor,
    exact_and_scale: tuple[torch.Tensor, torch.Tensor],
    terms: int,
    cut: float = 0.0,
) -> None:
    """Hold one result to its bound.

    Raises:
        Unfit: after a notice that it is above.
    """
    exact, scale = exact_and_scale
    own, sums = torch.finfo(got.dtype), (terms + 4) * UNIT
    bound = (sums / (1 - sums) + cut) * scale + own.eps * exact.abs() + own.tiny
    wrong = ~((got.double() - exact).abs() <= bound)  # (a NaN is wrong)
    if bool(wrong.any()):
        why = f"{int(wrong.sum())} of {wrong.numel()} values of the {what} are above their bound"
        notice(f"its check beside float64 failed: {why}")
        raise Unfit(why)


def both(twin: Callable, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the twin makes in float64, of the numbers and of their sizes."""
    return twin(*(t.double() for t in given)), twin(*(t.double().abs() for t in given))


def most(owner: torch.Tensor) -> int:
    """Return the most connections of one owner."""
    return int(torch.bincount(owner).max())


def cuts(tile: int, dtype: torch.dtype, images: bool = False) -> bool:
    """Return whether factors are cut to TF32."""
    return tile > 0 and precision(dtype, images) == "tf32"


def spread(size: int, device: torch.device, most: int = SOME) -> torch.Tensor:
    """Return up to so many places, ascending, from the first to the last."""
    return torch.linspace(0, size - 1, min(size, most), device=device).round().long().unique()
