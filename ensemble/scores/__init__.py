"""Scores of answers and of members, in float64 from log-probabilities.

>>> from ensemble.scores import ece, nll
>>> nll(logp, y)                    # logp (samples, classes), y (samples,)

Public names are loaded on first use, so that words and settings never pay for torch.
"""

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from ensemble.scores.answers import accuracy as accuracy
    from ensemble.scores.answers import aurc as aurc
    from ensemble.scores.answers import brier as brier
    from ensemble.scores.answers import nll as nll
    from ensemble.scores.calibration import adaptive_ece as adaptive_ece
    from ensemble.scores.calibration import classwise_ece as classwise_ece
    from ensemble.scores.calibration import ece as ece
    from ensemble.scores.diversity import ambiguity as ambiguity
    from ensemble.scores.diversity import disagreement as disagreement
    from ensemble.scores.diversity import mutual_information as mutual_information
    from ensemble.scores.diversity import q_pairs as q_pairs
    from ensemble.scores.diversity import q_statistic as q_statistic
    from ensemble.scores.equivalence import equivalent as equivalent

_HOME = {
    "accuracy": "ensemble.scores.answers",
    "adaptive_ece": "ensemble.scores.calibration",
    "ambiguity": "ensemble.scores.diversity",
    "aurc": "ensemble.scores.answers",
    "brier": "ensemble.scores.answers",
    "classwise_ece": "ensemble.scores.calibration",
    "disagreement": "ensemble.scores.diversity",
    "ece": "ensemble.scores.calibration",
    "equivalent": "ensemble.scores.equivalence",
    "mutual_information": "ensemble.scores.diversity",
    "nll": "ensemble.scores.answers",
    "q_pairs": "ensemble.scores.diversity",
    "q_statistic": "ensemble.scores.diversity",
}
__all__ = sorted(_HOME)  # pyright: ignore
__getattr__, __dir__ = lazily(__name__, _HOME)
