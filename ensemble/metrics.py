"""All scores of an ensemble on one set of samples, as a row of plain values.

Raw calibration compares nothing: the mean of many weak members is under-confident, one net is
over-confident. So give `scored` a temperature that was fitted on other samples, and the row has
the scores after it beside the raw ones.
"""

from typing import Any

import torch

from ensemble.calibrate import tempered
from ensemble.checks import checked, targets
from ensemble.combine import Weights, pooled
from ensemble.scores import answers, calibration, diversity

OF_ANSWERS = {
    "accuracy": answers.accuracy,
    "nll": answers.nll,
    "brier": answers.brier,
    "ece": calibration.ece,
    "adaptive_ece": calibration.adaptive_ece,
    "classwise_ece": calibration.classwise_ece,
    "aurc": answers.aurc,
}
CALIBRATED = ("nll", "brier", "ece", "adaptive_ece", "classwise_ece", "aurc")


def scored(
    logp: torch.Tensor,
    y: Any,
    rule: str = "soft",
    weights: Weights = None,
    temperature: float | None = None,
) -> dict[str, Any]:
    """Return all scores of the pooled answer and of its members, under their names.

    Args:
        logp: Log-probabilities of the members (members, samples, classes).
        y: Targets (samples,).
        rule: How the answers are combined.
        weights: One per member, for the combination.
        temperature: Of the pooled answer, from `ensemble.temperature` on held-out samples.

    Returns:
        Floats, but None for what is not defined (see `ensemble.scores.diversity`). After a
        temperature there is `calibrated_nll` and so on; `mean_nll` is the mean of the members'.

    Raises:
        ValueError: what cannot be scored or combined.
    """
    logp = checked(logp, 3)
    y, answer = targets(y, logp), pooled(logp, rule, weights)
    row: dict[str, Any] = {"members": len(logp)}
    row |= {name: score(answer, y) for name, score in OF_ANSWERS.items()}
    if temperature is not None:
        after = tempered(answer, temperature)
        row["temperature"] = float(temperature)
        row |= {f"calibrated_{name}": OF_ANSWERS[name](after, y) for name in CALIBRATED}
    return row | _members(logp, y)


def _members(logp: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    defined, pairs = diversity.q_pairs(logp, y)
    return {
        "mean_accuracy": float((logp.argmax(-1) == y).double().mean()),
        "mean_nll": float(answers.losses(logp, y).mean()),
        "mean_brier": float(answers.distances(logp, y).mean()),
        "disagreement": diversity.disagreement(logp),
        "q_statistic": diversity.q_statistic(logp, y),
        "pairs_without_q": pairs - defined,
        "mutual_information": diversity.mutual_information(logp),
        "ambiguity": diversity.ambiguity(logp),
    }
