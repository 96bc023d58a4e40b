"""The row of an ensemble with m members: how well it answers, alone and together, raw and tempered.

test_accuracy     by the mean of the members' probabilities      hard_accuracy    by majority
alone_accuracy    of the newest member                           vote_accuracy    by boosting's
weighted vote
calibrated_nll    after one temperature, fitted on the validation part of the pooled answer
"""

from typing import Any

import torch

from ensemble.boosting.course import Course
from ensemble.calibrate import temperature
from ensemble.combine import decided, pooled
from ensemble.metrics import scored

KEPT = ("nll", "brier", "ece", "calibrated_nll", "calibrated_ece", "disagreement", "mean_accuracy")
DIGITS = 6


def row(
    logp: dict[str, torch.Tensor], y: dict[str, torch.Tensor], course: Course | None
) -> dict[str, Any]:
    """The numbers of a row.

    Args:
        logp: Log-probabilities of the members on each part (members, samples, classes).
        y: Targets of each part.
        course: Of boosting.
    """
    test, target = logp["test"], y["test"].cpu()
    t = temperature(pooled(logp["validation"]), y["validation"].cpu(), "validation")
    all_of_it = scored(test, target, temperature=t)
    found = {
        "test_accuracy": all_of_it["accuracy"],
        "hard_accuracy": right(decided(test, "hard"), target),
        "alone_accuracy": right(test[-1].argmax(-1), target),
        "test_loss": all_of_it["nll"],
        "temperature": t,
    }
    found |= {key: all_of_it[key] for key in KEPT}
    if course:
        found |= boosted(test, target, course)
    return {k: None if v is None else float(f"{v:.{DIGITS}g}") for k, v in found.items()}


def boosted(test: torch.Tensor, y: torch.Tensor, course: Course) -> dict[str, float | None]:
    """What boosting says of the newest member, and how well its vote answers.

    A member that was dropped says nothing, and the vote is that of the others.
    """
    kept = len(course.alphas)
    alphas = torch.tensor(course.alphas, dtype=torch.float64)
    newest = {
        "weighted_error": course.errors,
        "effective": course.effective,
        "alpha": course.alphas,
    }
    found = {k: v[-1] if kept == len(test) else None for k, v in newest.items()}
    return found | {"vote_accuracy": right(decided(test[:kept], "weighted", alphas), y)}


def right(chosen: torch.Tensor, y: torch.Tensor) -> float:
    """The share of right answers."""
    return float((chosen == y).double().mean())
