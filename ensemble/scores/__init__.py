"""Scores of answers and of members, in float64 from log-probabilities.

>>> from ensemble.scores import ece, nll
>>> nll(logp, y)                    # logp (samples, classes), y (samples,)

Public names are loaded on first use, so that words and settings never pay for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble.scores.answers import accuracy, aurc, brier, nll
    from ensemble.scores.calibration import adaptive_ece, classwise_ece, ece
    from ensemble.scores.diversity import (
        ambiguity,
        disagreement,
        mutual_information,
        q_pairs,
        q_statistic,
    )
    from ensemble.scores.equivalence import equivalent

_HOME = {
    "accuracy": "answers",
    "adaptive_ece": "calibration",
    "ambiguity": "diversity",
    "aurc": "answers",
    "brier": "answers",
    "classwise_ece": "calibration",
    "disagreement": "diversity",
    "ece": "calibration",
    "equivalent": "equivalence",
    "mutual_information": "diversity",
    "nll": "answers",
    "q_pairs": "diversity",
    "q_statistic": "diversity",
}
__all__ = [
    "accuracy",
    "adaptive_ece",
    "ambiguity",
    "aurc",
    "brier",
    "classwise_ece",
    "disagreement",
    "ece",
    "equivalent",
    "mutual_information",
    "nll",
    "q_pairs",
    "q_statistic",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'ensemble.scores' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(f"ensemble.scores.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
