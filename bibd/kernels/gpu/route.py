"""The path of a call on a card under `auto`: dense, unless another was measured there and checked.

Measured as on a processor (bibd.kernels.tune), in the same file, under the name of the card. Where
nothing can be measured - while torch compiles or transforms, or a CUDA graph is captured - what is
on file decides: of this call, or, under torch.compile, of all batches of this layer if they agree.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from bibd.advice import warn
from bibd.kernels import modes, native, tune
from bibd.kernels.gpu import card, fine
from bibd.kernels.measure import Candidates

PATHS = "cuda", "triton"


def has_no_rule(backend: str, x: torch.Tensor, values: torch.Tensor) -> bool:
    """Return whether a wanted path cannot follow this call, after a warning.

    Raises:
        ValueError: the layer is on no card.
    """
    if not card.on_card(values) and not values.is_meta:
        raise ValueError(
            f"backend '{backend}' is for a GPU (an NVIDIA card) and this layer is on "
            f"{values.device}: use 'auto', or layer.to('cuda') where there is one"
        )
    dtype = modes.casting(x.device.type) or x.dtype
    if dtype in fine.TYPES and not modes.forward_mode():
        return False
    why = f"kernels for {dtype}" if dtype not in fine.TYPES else "rule for forward-mode AD"
    warn(f"backend '{backend}' has no {why}: 'dense' computes this call")
    return True


def route(
    x: torch.Tensor,
    values: torch.Tensor,
    sizes: tuple[int, int, int, int, int],
    candidates: Callable[[], Callable[[int, torch.dtype, bool], Candidates]],
    geometry: tuple[int, ...] = (),
) -> str:
    """Choose the path of a call on a card: of a linear layer, or of a convolution by its tiles.

    Arguments as of bibd.kernels.choose; the last of the sizes is the side of tiles.
    """
    dtype = modes.casting(x.device.type) or x.dtype
    if dtype not in fine.TYPES or x.device != values.device or modes.forward_mode():
        return "dense"
    train = torch.is_grad_enabled() and (x.requires_grad or values.requires_grad)
    if torch.compiler.is_compiling():
        # (Under dynamic=True all numbers are symbols, and written down those of a layer are none;
        # height and width, which stay symbols, are left out.)
        words = f"{sizes[0]} {sizes[1]} {sizes[2]} {sizes[3]} {sizes[4]}"
        if geometry:
            words += f" {geometry[0]} {geometry[1]} {geometry[2]} {geometry[3]} 0 0"
        return on_file(words, dtype, train, values.device)
    batch = tune.bucket(max(1, x.numel() // (sizes[0] * sizes[3] * prod(geometry[-2:]))))
    call = _call(sizes, batch, dtype, train, values.device, geometry)
    ordinary = type(x) in native.KINDS and type(values) in native.KINDS
    if not ordinary or not modes.quiet() or card.capturing():
        return tune.settled(call, False)
    try:
        with card.current(values):
            return tune.choice(call, lambda: candidates()(1 << batch, dtype, train), card.clock)
    except (card.Full, torch.OutOfMemoryError):
        return "dense"  # (there is no room to measure beside what the user holds)


@torch.compiler.assume_constant_result
def on_file(words: str, dtype: torch.dtype, train: bool, device: torch.device) -> str:
    """Return what all measured batches of a layer have taken; "dense" if they differ.

    The words are its sizes, and what a convolution has beside them. Where replayed calls were never
    measured, those that were made one by one decide.
    """
    numbers = tuple(map(int, words.split()))
    sizes: Any = numbers[:5]
    call = _call(sizes, 0, dtype, train, device, numbers[5:])
    if not tune.taken_so_far(call, True):
        call = call._replace(card=call.card.removesuffix(card.REPLAYED))
    return tune.settled(call, True)


def _call(
    sizes: tuple[int, int, int, int, int], batch: int, dtype, train: bool, device,
    geometry: tuple[int, ...],
) -> tune.Call:  # fmt: skip
    """Return the name of a call; connections in tiles are another kind than as many elsewhere."""
    kind = "conv" if geometry else "linear"
    kind += f" in tiles of {sizes[4]}," if sizes[4] else ""
    where = card.circumstances(device, bool(geometry))
    return tune.Call(kind, *sizes[:4], geometry, batch, 0, dtype, train, where)
