"""Records of a net what its rows do not say: its patterns' labels, and its exits."""

from collections import Counter
from typing import Any

import torch
from torch import nn

from bibd import SparseConv2d
from harness.exits import EarlyExit, Record, fit, outcome, record, sweep

Images = tuple[torch.Tensor, torch.Tensor]
LOSSES = (0.0, 0.005, 0.01, 0.02)  # of accuracy, against the last exit
BUDGETS = (0.6, 0.7, 0.8, 0.9)  # of the MACs of the last exit


def labels(model: nn.Module) -> dict[str, int]:
    """Count the sparse convolutions that are a BIBD, a packing, irregular, or dense after all."""
    patterns = [m.pattern for m in model.modules() if isinstance(m, SparseConv2d)]
    return dict(Counter(p.label for p in patterns))  # pyright: ignore


def exits(model: EarlyExit, held: Images, test: Images) -> dict[str, Any]:
    """Test the exits of a trained net, under thresholds fitted on held-out images.

    `held` and `test` are images, normalised, with labels. Without held-out images nothing is
    fitted, and the curve over one threshold is all there is.
    """
    on_test = record(model, *test)
    curve = sweep(on_test)
    found: dict[str, Any] = {"criterion": model.criterion, "macs": list(on_test.macs)}
    found["curve"] = curve
    found["fitted"] = fitted(model, held, on_test) if len(held[1]) else []
    return found


def fitted(model: EarlyExit, held: Images, on_test: Record) -> list[dict[str, Any]]:
    """Fit thresholds for each aim; returns them with what they gave on both sets of images."""
    on_held = record(model, *held)
    full = outcome(on_held, 1.0)
    aims = {f"lose {loss:.1%}": dict(accuracy=full["accuracy"] - loss) for loss in LOSSES}
    aims |= {f"{share:.0%} of MACs": dict(budget=share * full["macs"]) for share in BUDGETS}
    lines = []
    for aim, target in aims.items():
        try:
            there = fit(on_held, **target)
        except ValueError as error:  # a budget below the first exit
            lines.append({"name": aim, "error": str(error)})
            continue
        here = outcome(on_test, there["thresholds"])
        lines.append({"name": aim, "held_out": there, "test": here})
    return lines
