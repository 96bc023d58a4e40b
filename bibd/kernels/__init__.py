"""Ways to multiply by a sparse weight: one file each, and here the choice between them.

dense   scatter the values into a full weight, then F.linear. Every torch transform works.
bag     read only the connections: embedding_bag forward, sampled_addmm backward. CPU.
auto    bag where it is the faster of the two by a wide margin (measured on two x86 cores, from
        about 256k possible connections on: 784x784 5x to 30x, 4096x4096 30x to 100x) and only
        in plain eager mode; dense under torch.func, torch.compile, autocast and on devices.
"""

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from bibd.kernels.bag import bag_linear, bag_stacked, in_transform
from bibd.kernels.dense import dense_linear, dense_weight

__all__ = ["BACKENDS", "bag_linear", "bag_stacked", "choose", "dense_linear", "dense_weight"]

BACKENDS = ("auto", "dense", "bag")
BAG_FROM = 1 << 18  # possible connections (in * out, times members of a stack)
BAG_SHARE = 8  # at least so many possible connections for each one that is there


def choose(backend: str, x: torch.Tensor, nonzeros: int, possible: int) -> str:
    """The backend for this call: `backend` itself unless it is "auto" or the batch is empty."""
    if not isinstance(x, torch.Tensor) or x.numel() == 0:
        return "dense"  # a stand-in that follows the code; the table operators refuse no samples
    if backend != "auto":
        return backend
    if possible < BAG_FROM or nonzeros * BAG_SHARE > possible:
        return "dense"
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # pyright: ignore
        return "dense"
    return "bag" if _plain(x) else "dense"


def _plain(x: torch.Tensor) -> bool:
    """True for an ordinary CPU float tensor outside autocast, torch.func and dispatch modes."""
    return (
        type(x) in (torch.Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and x.layout == torch.strided
        and not in_transform()
        and not is_in_torch_dispatch_mode()
    )
