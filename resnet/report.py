"""What is recorded of a net beside its rows: its patterns' labels, and its exits."""

from collections import Counter

from torch import nn

from bibd import SparseConv2d


def labels(model: nn.Module) -> dict[str, int]:
    """How many sparse convolutions are a BIBD, a packing, irregular (or dense after all)."""
    found = [m.pattern.label for m in model.modules() if isinstance(m, SparseConv2d)]
    return dict(Counter(found))


def exits(net, batches, data, test):
    """Not yet."""
    return {}
