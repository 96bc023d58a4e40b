"""Records how exits do on samples: enough to try any thresholds without running the net again.

scores   (early exits, samples)    how sure each early exit is
right    (exits, samples)          whether each exit, the last included, answers rightly
macs     (exits,)                  multiply-adds of leaving at each exit
"""

from dataclasses import dataclass

import numpy as np
import torch

from harness.exits.exits import EarlyExit


@dataclass(frozen=True)
class Record:
    """How sure each early exit was of each sample, which answers were right, and what it costs.

    Raises:
        ValueError: the three parts speak of different numbers of exits or samples.
    """

    scores: np.ndarray
    right: np.ndarray
    macs: tuple[int, ...]

    def __post_init__(self):
        if np.ndim(self.scores) != 2:
            raise ValueError(
                f"scores have the axes (early exits, samples), got shape {np.shape(self.scores)}"
            )
        early, samples = np.shape(self.scores)
        if np.shape(self.right) != (early + 1, samples) or len(self.macs) != early + 1:
            raise ValueError(
                f"scores of {early} early exits and {samples} samples need `right` of shape "
                f"({early + 1}, {samples}) and {early + 1} macs (the last exit has no score), got "
                f"{np.shape(self.right)} and {len(self.macs)}"
            )


@torch.no_grad()
def record(model: EarlyExit, x: torch.Tensor, y: torch.Tensor, batch: int = 250) -> Record:
    """Send samples through all exits and note how each of them does.

    Args:
        model: A net with exits; it is put into eval mode.
        x: The inputs.
        y: One label per input.
        batch: Samples at a time.

    Raises:
        ValueError: there are no samples, or not one label for each.
    """
    if not len(x):
        raise ValueError("no samples to record: expected at least one image with its label")
    if tuple(y.shape) != (len(x),):
        raise ValueError(
            f"{len(x)} samples need as many labels, a tensor of shape ({len(x)},) with the number "
            f"of each one's class; got shape {tuple(y.shape)}"
        )
    model.eval()
    scores, right = [], []
    for part, labels in zip(x.split(batch), y.split(batch), strict=True):
        outputs = model.forward_exits(part)
        scores.append(torch.stack([model.score(logits) for logits in outputs[:-1]]).cpu())
        right.append(torch.stack([logits.argmax(-1) == labels for logits in outputs]).cpu())
    macs = tuple(cost.macs for cost in model.costs())
    return Record(torch.cat(scores, 1).double().numpy(), torch.cat(right, 1).numpy(), macs)
