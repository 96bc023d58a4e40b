"""The noise of gradients: how far that of a batch is from that of all samples.

g_i is the gradient of a sample, G their mean over all samples, G_B that of a batch of B draws (with
replacement):

    E |G_B|^2 = |G|^2 + tr / B          tr = mean of |g_i - G|^2, the trace of the covariance

So two sizes of batches tell both unknowns, without any sample's own gradient. The noise scale is
N = tr / |G|^2: in a batch of N the noise is as large as the gradient (McCandlish et al. 2018).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap


def gradients(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return each sample's own gradient of its cross-entropy: (samples, weights)."""
    own = {name: p.detach() for name, p in net.named_parameters()}

    def loss(weights, one, label):
        return F.cross_entropy(functional_call(net, weights, (one[None],)), label[None])

    found = vmap(grad(loss), (None, 0, 0))(own, x, y)
    return torch.cat([g.flatten(1) for g in found.values()], 1)


def moments(each: torch.Tensor) -> tuple[float, float]:
    """Return |G|^2 and tr of samples' gradients."""
    each = each.double()
    mean = each.mean(0)
    return float(mean @ mean), float((each - mean).square().sum(1).mean())


def squared(batch: int, mean: float, trace: float) -> float:
    """Return what |G_B|^2 is on average."""
    return mean + trace / batch


def unknowns(sizes: tuple[int, int], squares: tuple[float, float]) -> tuple[float, float]:
    """Return |G|^2 and tr from |G_B|^2 at two sizes of batches."""
    (small, big), (at_small, at_big) = sizes, squares
    mean = (big * at_big - small * at_small) / (big - small)
    return mean, (at_small - at_big) / (1 / small - 1 / big)


def scale(mean: float, trace: float) -> float:
    """Return the noise scale N, in samples."""
    return trace / mean
