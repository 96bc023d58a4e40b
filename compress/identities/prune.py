"""Identities of pruning: scores against what defines them, masked nets against sparse ones.

counts    how many weights are left        flow      SynFlow
scores    SNIP, GraSP, Wanda               masks     masked training, frozen nets
"""

from collections.abc import Iterator

from compress.identities.counts import counted, erk_by_bisection, erk_sum
from compress.identities.flow import by_products, conserved, flow_bound
from compress.identities.masks import frozen, sums_bound, there_and_back, trained, unmasked
from compress.identities.nets import conv, mlp
from compress.identities.scores import by_loops, dense_hessian, differences
from harness.result.identity import Identity

KINDS = {"linear": mlp, "conv": conv}


def identities() -> Iterator[Identity]:
    """Yield the identities of pruning."""
    yield Identity("kept of all = the density, rounded, every score", "exact", counted)
    yield Identity("ERK = bisection for the one factor", "rounding", erk_by_bisection)
    yield Identity("ERK counts sum to the density, rounded", "exact", erk_sum)
    for name, make in KINDS.items():
        bound = flow_bound(make())
        title = f"SynFlow: each layer's scores sum to R, {name}"
        yield Identity(title, "rounding", lambda m=make: conserved(m()), bound)
        yield Identity(f"Wanda = plain loops, {name}", "rounding", lambda m=make: by_loops(m()))
        title = f"frozen = masked, answers and gradients, {name}"
        yield Identity(title, "rounding", lambda m=make: frozen(m()), sums_bound(make()))
        title = f"masked training = sparse training, {name}"
        yield Identity(title, "rounding", lambda m=make: trained(m()))
    yield Identity("SynFlow = products of matrices", "rounding", by_products, flow_bound(mlp()))
    yield Identity("SNIP = finite differences, exact for this net", "rounding", differences)
    yield Identity("GraSP = the dense Hessian", "rounding", dense_hessian)
    yield Identity("training without the masks is something else", "negative", unmasked)
    yield Identity("to torch.nn.utils.prune and back = the same masks", "exact", there_and_back)
