"""SynFlow's scores against what they are shares of: the flow of ones through absolute weights."""

import torch
from torch import nn

from compress.identities.nets import CLASSES, INPUTS, mlp, samples, terms
from compress.pruning.flow import linear, synflow
from compress.pruning.layers import found
from compress.pruning.scores import Asked
from harness.result.identity import ROUNDING, apart, furthest


def flow_bound(net: nn.Sequential) -> float:
    """Return how far two sums of the flow may differ: all its terms are positive."""
    x, _ = samples(net)
    with torch.no_grad():
        whole = float(linear(net)(torch.ones_like(x[:1])).sum())
    return 2 * terms(net) * ROUNDING * whole


def conserved(net: nn.Sequential) -> float:
    """Compare the sums of the scores of the layers with the flow of the whole net."""
    x, _ = samples(net)
    scores = synflow(Asked(net, found(net), x))
    with torch.no_grad():
        flow = float(linear(net)(torch.ones_like(x[:1])).sum())
    return furthest(*[abs(float(score.sum()) - flow) for score in scores.values()])


def by_products() -> float:
    """Compare the flow through each weight with products of absolute matrices."""
    net = mlp()
    x, _ = samples(net)
    scores = list(synflow(Asked(net, found(net), x)).values())
    a, b, c = (w.detach().abs() for w in found(net).values())
    ones, out = torch.ones(INPUTS, dtype=torch.float64), torch.ones(CLASSES, dtype=torch.float64)
    first, second = a @ ones, b @ (a @ ones)
    made = (
        a * torch.outer(out @ c @ b, ones),
        b * torch.outer(out @ c, first),
        c * torch.outer(out, second),
    )
    return furthest(*[apart(s, m) for s, m in zip(scores, made, strict=True)])
