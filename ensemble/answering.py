"""What fitted nets answer as a classifier: labels and probabilities, whole and by stage."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ensemble.boosting.vote import classes_of, decision, probabilities, staged
from ensemble.checks import log_probabilities
from ensemble.combine import pooled
from ensemble.fit.samples import answers
from ensemble.labels import Array, feature_names, rows, same_features


def _not_fitted() -> type[ValueError]:
    """Return scikit-learn's error where its user has loaded it, which is a ValueError too."""
    loaded = sys.modules.get("sklearn.exceptions")
    return loaded.NotFittedError if loaded else ValueError


class Answering:
    """The answers of members that were fitted, together as `combine` says."""

    combine: str
    device: str
    classes_: Array
    n_classes_: int
    n_features_in_: int
    estimators_: list[nn.Module]
    estimator_weights_: Array

    def predict(self, x: Any) -> Array:
        """Return the label of each sample."""
        weighted = self.combine == "weighted"  # (a softmax could round two that differ to one)
        found = self.decision_function(x, both=True) if weighted else self.predict_proba(x)
        return self.classes_[classes_of(found)]

    def predict_proba(self, x: Any) -> Array:
        """Return the probabilities (samples, classes), in the order of `classes_`."""
        return self._together(self._logp(x))

    def predict_log_proba(self, x: Any) -> Array:
        """Return the logarithms of the probabilities."""
        with np.errstate(divide="ignore"):  # (a hard vote may leave a class without any)
            return np.log(self.predict_proba(x))

    def decision_function(self, x: Any, both: bool = False) -> Array:
        """Return the weighted vote (samples, classes); of two classes (samples,), 1 minus 0.

        Args:
            x: Samples.
            both: Whether two classes have two columns as well.
        """
        votes = list(self._logp(x).argmax(-1).numpy())
        decided = decision(votes, self.estimator_weights_, self.n_classes_)
        return decided if both or self.n_classes_ > 2 else decided[:, 1] - decided[:, 0]

    def staged_predict(self, x: Any) -> Iterator[Array]:
        """Yield the labels by the first member, the first two, and so on."""
        logp = self._logp(x)
        if self.combine == "weighted":
            votes = list(logp.argmax(-1).numpy())
            for decided in staged(votes, self.estimator_weights_, self.n_classes_):
                yield self.classes_[classes_of(decided)]
        else:
            for found in self._stages(logp):
                yield self.classes_[classes_of(found)]

    def staged_predict_proba(self, x: Any) -> Iterator[Array]:
        """Yield the probabilities by the first member, the first two, and so on."""
        yield from self._stages(self._logp(x))

    def score(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of right labels, weighted if asked for."""
        return float(np.average(self.predict(x) == np.asarray(y), weights=sample_weight))

    def _stages(self, logp: torch.Tensor) -> Iterator[Array]:
        for count in range(1, len(logp) + 1):
            yield self._together(logp[:count])

    def _together(self, logp: torch.Tensor) -> Array:
        """Return the probabilities of the first members together."""
        if self.combine == "weighted":
            alphas = self.estimator_weights_.copy()
            alphas[len(logp) :] = 0
            votes = list(logp.argmax(-1).numpy())
            return probabilities(decision(votes, alphas, self.n_classes_))
        return pooled(logp, self.combine).exp().numpy()

    def _logp(self, x: Any) -> torch.Tensor:
        """Return what the members answer, (members, samples, classes), float64.

        Raises:
            ValueError: not fitted yet (scikit-learn's NotFittedError where that is loaded), or
                samples with other features, or of another count.
        """
        if not hasattr(self, "estimators_"):
            raise _not_fitted()("this model is not fitted yet: call fit(x, y) first")
        same_features(feature_names(x), getattr(self, "feature_names_in_", None))
        samples = rows(x)
        if samples.shape[1] != self.n_features_in_:
            raise ValueError(
                f"samples have {samples.shape[1]} features, and the model was fitted on "
                f"{self.n_features_in_}"
            )
        samples = samples.to(self.device)
        return log_probabilities([answers(net, samples).cpu() for net in self.estimators_])
