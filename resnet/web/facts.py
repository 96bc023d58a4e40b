"""What the page knows of a net: costs, thresholds, classes, and pictures of the test set."""

import base64
from math import ceil
from pathlib import Path
from typing import Any

import torch

from harness.data import Data
from harness.data.pictures import norm
from harness.exits import EarlyExit
from harness.record import store

SURE = 0.8  # where a run has fitted no thresholds
AIM = "lose 0.5%"  # of those that it has (resnet.facts)
NAMES = {
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
}


def facts(net: EarlyExit, data: Data, folder: Path, count: int) -> dict[str, Any]:
    """Return what the page's program works with."""
    mean, scale = norm(data)
    index = chosen(data.test_y, count)
    return {
        "classes": names(data),
        "shape": list(data.shape),
        "mean": mean.flatten().tolist(),
        "scale": scale.flatten().tolist(),
        "macs": [cost.macs for cost in net.costs()],
        "thresholds": thresholds(folder, len(net.heads)),
        "labels": data.test_y[index].tolist(),
        "pixels": pixels(data.test_x[index]),
    }


def names(data: Data) -> tuple[str, ...]:
    """Return what the classes are called."""
    return data.names or NAMES.get(data.name, tuple(f"class {k}" for k in range(data.classes)))


def thresholds(folder: Path, heads: int) -> list[float]:
    """Return what a run has fitted on images that were set aside, to lose half a point.

    In whole hundredths, rounded up, as the page's sliders have them.
    """
    for line in last(folder).get("exits", {}).get("fitted", ()):
        if line["name"] == AIM and "held_out" in line:
            return [_stop(bound) for bound in line["held_out"]["thresholds"]]
    return [SURE] * heads


def _stop(bound: float) -> float:
    """Return the stop of a slider for a threshold; only that of nobody leaves becomes 1."""
    up = ceil(round(100 * bound, 9)) / 100  # (100 * 0.07 is above 7)
    return min(up, 0.99) if bound < 1 else up


def last(folder: Path) -> dict[str, Any]:
    """Return the last row of a run; nothing where it has none."""
    run = store.load_run(folder)
    return run.rows[-1] if run and run.rows else {}


def chosen(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Return the numbers of the first pictures of each class, a class after the other, in turn."""
    before = torch.zeros_like(labels)  # how many of its class stand before a picture
    for label in labels.unique():
        same = labels == label
        before[same] = torch.arange(int(same.sum()), device=labels.device)
    order = (before * (labels.max() + 1) + labels).argsort(stable=True)
    return order[:count]


def pixels(x: torch.Tensor) -> str:
    """Return pictures as base64 of a byte for each value, in the order of their axes."""
    whole = (x * 255).round().clamp(0, 255).to(torch.uint8)
    return base64.b64encode(whole.contiguous().cpu().numpy().tobytes()).decode()
