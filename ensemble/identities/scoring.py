"""Identities of scores: equal to scikit-learn, to independent counts and to plain-Python twins.

A confidence of exactly 1.0 is where libraries part: torchmetrics 1.9 gives it a bin of its own
(its issue 3510). Ours is in the last bin, as NumPy's histogram counts; the difference is shown.
"""

import importlib.util
from collections.abc import Iterator

import numpy as np
import torch

from ensemble import scores
from ensemble.identities import oracle
from ensemble.identities.task import CLASSES, SAMPLES, answers, certain
from ensemble.scores.calibration import BINS
from harness.result.identity import Identity, roundings

TORCHMETRICS = 1e-6  # it computes in float32
OF_ANSWERS = ("accuracy", "nll", "brier", "ece", "adaptive_ece", "classwise_ece", "aurc")


def identities() -> Iterator[Identity]:
    """Yield the identities of scores."""
    size = float(answers()[0].abs().max())
    limit = roundings(SAMPLES + CLASSES + 16, size)  # sums over the samples, then as in combining
    yield Identity("NLL = scikit-learn's log_loss", "rounding", log_loss, limit)
    yield Identity("Brier = scikit-learn's, class by class", "rounding", brier_loss, limit)
    yield Identity("ECE = count by numpy.histogram", "rounding", lambda: histogram(answers), limit)
    title = "ECE with confidences of exactly 1 = count by numpy.histogram"
    yield Identity(title, "rounding", lambda: histogram(certain), limit)
    yield Identity("a 16th bin for exactly 1 is another score", "negative", own_bin)
    for name in OF_ANSWERS:
        yield Identity(f"{name} = plain-Python twin", "rounding", lambda name=name: twin(name))
    for name in ("disagreement", "q_statistic", "mutual_information"):
        check = lambda name=name: of_members(name)  # noqa: E731
        yield Identity(f"{name} = plain-Python twin", "rounding", check)
    if importlib.util.find_spec("torchmetrics"):
        title = "ECE without confidences of exactly 1 = torchmetrics"
        yield Identity(title, "rounding", torchmetrics_ece, TORCHMETRICS)


def notes() -> list[str]:
    """Return which library could not be asked here."""
    if importlib.util.find_spec("torchmetrics"):
        return []
    return [
        "torchmetrics is not installed, so ECE was not compared with its (pip install torchmetrics)"
    ]


def log_loss() -> float:
    """Compare the NLL with scikit-learn's."""
    from sklearn.metrics import log_loss as other

    logp, y = answers()
    made = other(y.numpy(), logp[0].exp().numpy(), labels=range(CLASSES))
    return abs(scores.nll(logp[0], y) - float(made))


def brier_loss() -> float:
    """Compare the Brier score with the sum of scikit-learn's scores of single classes."""
    from sklearn.metrics import brier_score_loss as other

    logp, y = answers()
    p = logp[0].exp().numpy()
    made = sum(float(other(y.numpy() == k, p[:, k])) for k in range(CLASSES))
    return abs(scores.brier(logp[0], y) - made)


def histogram(task) -> float:
    """Compare the calibration error with one whose bins NumPy counts.

    NumPy's bins are [a, b[ with the last one closed: of the negative confidences they are ]a, b].
    """
    logp, y = task()
    logp = logp[0] if logp.ndim == 3 else logp
    sure, right = logp.exp().amax(-1).numpy(), (logp.argmax(-1) == y).double().numpy()
    edges = -(np.arange(BINS, -1, -1) / BINS)
    gaps = [np.histogram(-sure, edges, weights=weights)[0] for weights in (sure, right)]
    return abs(scores.ece(logp, y) - float(np.abs(gaps[0] - gaps[1]).sum() / len(sure)))


def own_bin() -> float:
    """Return how far the score is from one with a bin of its own for confidences of exactly 1."""
    logp, y = certain()
    pairs = oracle.sure(logp.tolist(), y.tolist())
    return abs(scores.ece(logp, y) - oracle.own_bin_for_one(pairs, BINS))


def twin(name: str) -> float:
    """Compare a score of answers with its twin."""
    logp, y = answers()
    found = getattr(scores, name)(logp[0], y)
    return abs(found - getattr(oracle, name)(logp[0].tolist(), y.tolist()))


def of_members(name: str) -> float:
    """Compare a score of members with its twin."""
    logp, y = answers()
    more, same = ((y,), (y.tolist(),)) if name == "q_statistic" else ((), ())
    return abs(getattr(scores, name)(logp, *more) - getattr(oracle, name)(logp.tolist(), *same))


def torchmetrics_ece() -> float:
    """Compare the calibration error with torchmetrics' where no confidence is exactly 1."""
    from torchmetrics.classification import (  # pyright: ignore[reportMissingImports]
        MulticlassCalibrationError,
    )

    logp, y = answers(1.0)
    assert float(logp[0].exp().max()) < 1
    other = MulticlassCalibrationError(CLASSES, n_bins=BINS, norm="l1")
    return abs(scores.ece(logp[0], y) - float(other(torch.exp(logp[0]), y)))
