"""SynFlow: the flow through each weight of a net of absolute weights, in float64, without data.

    R = 1' |W_L| ... |W_2| |W_1| 1          score = |w| dR/d|w| = w dR/dw

Every layer's scores sum to R (what flows in flows out), so the layer with fewest weights has the
highest ones, and no layer is emptied before it must be. That holds for what is homogeneous: ReLU,
pooling, sums. Biases are taken as 0 and norm layers as the identity; Tanh and its like stay.
"""

import copy

import torch
from torch import nn

from compress.pruning.asked import Asked, Scores, finite, gradients

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


def synflow(ask: Asked) -> Scores:
    """Return the flow through each weight; the net itself is not touched."""
    shape = ask.inputs("synflow")[0].shape[1:]
    twin = linear(ask.net)
    weights = {name: twin.get_parameter(name) for name in ask.weights}
    device = next(iter(weights.values())).device
    ones = torch.ones(1, *shape, dtype=torch.float64, device=device)
    with torch.inference_mode(False), torch.enable_grad():
        flow = twin(ones).sum()
        found = gradients(flow, weights)
    pairs = zip(weights.items(), found, strict=True)
    return finite({name: (w.detach() * g) for (name, w), g in pairs}, "synflow")


@torch.no_grad()
def linear(net: nn.Module) -> nn.Module:
    """Return a copy with absolute weights in float64, biases 0, norms gone, in eval mode."""
    twin = copy.deepcopy(net).double().eval()
    for name, module in list(twin.named_modules()):
        if isinstance(module, NORMS) and name:
            twin.set_submodule(name, nn.Identity())
    for name, p in twin.named_parameters():
        p.requires_grad_(True)
        p.abs_() if name.split(".")[-1] != "bias" else p.zero_()
    return twin
