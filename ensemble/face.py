"""Boosted nets as people know classifiers: fit, predict, predict_proba, staged_predict.

>>> model = BoostedNets(lambda: mlp((64, 32, 10), seed=None), n_estimators=9, epochs=5)
>>> model.fit(x, y).score(test_x, test_y)

It can be cloned, searched over and put into a pipeline of scikit-learn, and imports none of it.
"""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd.pattern import check_whole
from ensemble.answering import Answering
from ensemble.boosting.learner import padded
from ensemble.combine import RULES
from ensemble.estimator import Estimator
from ensemble.fit.boosting import Boosting
from ensemble.fit.task import MakeOptimizer, sgd
from ensemble.given import check_factory
from ensemble.labels import classes_of, feature_names, rows, same_count
from harness.names import check


class BoostedNets(Estimator, Answering):
    """A classifier of boosted nets.

    Args:
        factory: Called without arguments; returns an untrained net from samples (batch, ...) to
            logits (batch, classes).
        n_estimators: Members at most.
        learning_rate: Shrinks what a member says and how far it moves the weights of the samples.
        rule: "samme", or "iddl" (the published ensemble's, which raises the right samples).
        epochs: Passes over the samples, per member.
        batch_size: Samples per step.
        weights: How the weights are used: "loss", "resample" or "repeat".
        combine: How members answer together: "soft" (mean of their probabilities), "geometric",
            "hard", or "weighted" (the vote of boosting).
        optimizer: Makes one from parameters; by default SGD .1, momentum .9.
        schedule: Makes a schedule from (optimizer, steps of a member), stepped after each batch.
        nan: "stop" with an error, or "leave out" a member whose loss is no longer finite.
        seed: Of first weights, orders and draws; None: one is drawn, and kept as `seed_`.
        device: Where members learn and answer.

    Attributes:
        classes_: The labels, sorted.
        estimators_: The members, as modules in eval mode.
        estimator_weights_: What each says in the weighted vote; 0 for members never made.
        estimator_errors_: The weighted error of each; 1 for members never made.
        effective_: The effective share of the samples that each learned on.
        course_: Weights, errors and votes of the boosting (`ensemble.boosting.course.Course`).
        ended_: Why there is no further member.
        seed_: The seed that was used.
        feature_names_in_: The columns of the frame that it was fitted on, if it was one.
    """

    _training: Boosting | None = None  # one that is not at its end

    def __init__(
        self,
        factory: Callable[[], nn.Module],
        n_estimators: int = 9,
        learning_rate: float = 0.1,
        rule: str = "samme",
        epochs: int = 5,
        batch_size: int = 32,
        weights: str = "loss",
        combine: str = "soft",
        optimizer: MakeOptimizer = sgd,
        schedule: Any = None,
        nan: str = "stop",
        seed: int | None = 0,
        device: str = "cpu",
    ):
        self.factory, self.n_estimators, self.learning_rate = factory, n_estimators, learning_rate
        self.rule, self.weights, self.combine = rule, weights, combine
        self.epochs, self.batch_size = epochs, batch_size
        self.optimizer, self.schedule = optimizer, schedule
        self.nan, self.seed, self.device = nan, seed, device

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> "BoostedNets":
        """Train all members anew; returns self. After Ctrl-C, `resume` goes on.

        Raises:
            ValueError: samples, labels, weights or arguments that cannot be used; a first member
                that is no better than chance.
        """
        check("combine", self.combine, RULES)
        check_factory(self.factory)
        check_whole("n_estimators", self.n_estimators, 1)
        samples = rows(x)
        classes, numbers = classes_of(y)
        same_count(samples, numbers)
        self._forget()
        self._training = Boosting(
            partial(_on, self.factory, self.device),
            samples.to(self.device),
            torch.from_numpy(numbers).to(self.device),
            self.n_estimators,
            self.epochs,
            sample_weight=sample_weight,
            seed=secrets.randbelow(2**31) if self.seed is None else self.seed,
            **{name: getattr(self, name) for name in PASSED_ON},
        )
        self._labels, self._features = classes, feature_names(x)
        return self.resume()

    def resume(self) -> "BoostedNets":
        """Go on with a fit that was interrupted, after its last whole epoch; returns self.

        Raises:
            ValueError: there was no fit, or it came to its end.
        """
        training = self._training
        if training is None:
            ended = getattr(self, "ended_", "")
            why = f"the fit came to its end, {ended}; fit(x, y) begins anew"
            raise ValueError(f"nothing to resume: {why if ended else 'call fit(x, y) first'}")
        self.estimators_ = [net.eval() for net in training.fit()]
        self.seed_, self.course_, self.ended_ = training.seed, training.course, training.ended
        self.estimator_weights_ = padded(self.course_.alphas, self.n_estimators, 0.0)
        self.estimator_errors_ = padded(self.course_.errors, self.n_estimators, 1.0)
        self.effective_ = np.array(self.course_.effective)
        self.classes_, self.n_classes_ = self._labels, len(self._labels)
        self.n_features_in_ = training.task.x.shape[1]
        if self._features is not None:
            self.feature_names_in_ = self._features
        self._training = None  # (nobody keeps or pickles the samples with the model)
        return self

    def _forget(self) -> None:
        """Forget what an earlier fit has found."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)


def _on(factory: Callable[[], nn.Module], device: str) -> nn.Module:
    return factory().to(device)


PASSED_ON = (  # to Boosting, under the same names
    *("rule", "learning_rate", "weights", "nan"),
    *("batch_size", "optimizer", "schedule"),
)
