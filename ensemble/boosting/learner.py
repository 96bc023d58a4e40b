"""Boosts any weak learner: a function that is given samples with weights and returns a predictor.

>>> def tree(x, y, w):
...     return DecisionTreeClassifier(max_depth=1).fit(x, y, sample_weight=w).predict
>>> found = boost(tree, x, y, members=50)
>>> found.predict(x)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.boosting.course import Array, Course, Predict
from ensemble.boosting.vote import classes_of, decision, probabilities, staged

Learner = Callable[[Any, Array, Array], Predict]


@dataclass(frozen=True)
class Boosted:
    """The members that were kept, the course that made them, and the classes that they know."""

    members: list[Predict]
    course: Course
    classes: Array

    @property
    def alphas(self) -> Array:
        """What each member says, with zeros for those that were never made."""
        return padded(self.course.alphas, self.course.members, 0.0)

    def votes(self, x: Any) -> list[Array]:
        """Return the number of the class that each member decides on."""
        return [np.searchsorted(self.classes, member(x)) for member in self.members]

    def predict(self, x: Any) -> Array:
        """Return the class of each sample, by the weighted vote of all members."""
        return self.classes[classes_of(self._decision(x))]

    def predict_proba(self, x: Any) -> Array:
        """Return the probabilities (samples, classes) that belong to the vote."""
        return probabilities(self._decision(x))

    def staged_predict(self, x: Any) -> Iterator[Array]:
        """Yield the classes by the first member, the first two, and so on."""
        for decided in staged(self.votes(x), self.alphas, len(self.classes)):
            yield self.classes[classes_of(decided)]

    def _decision(self, x: Any) -> Array:
        return decision(self.votes(x), self.alphas, len(self.classes))


def boost(
    learner: Learner,
    x: Any,
    y: Array,
    members: int,
    *,
    rule: str = "samme",
    learning_rate: float = 1.0,
    sample_weight: Array | None = None,
) -> Boosted:
    """Boost a learner until there are so many members, or boosting ends by itself.

    Args:
        learner: Called as learner(x, y, weights); returns a function from samples to classes.
        x: Samples, in whatever form the learner reads.
        y: The class of each.
        members: How many at most.
        rule: "samme" or "iddl".
        learning_rate: Shrinks what a member says and how far it moves the weights.
        sample_weight: Where to start from; None: all alike.

    Raises:
        ValueError: as `Course`, and a first member that is no better than guessing.
    """
    y = np.asarray(y)
    classes = np.unique(y)
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    course = Course(weights, len(classes), members, rule, learning_rate)
    kept: list[Predict] = []
    while not course.ended:
        predict = learner(x, y, course.begin())
        if course.end(predict(x) != y):
            kept.append(predict)
    return Boosted(kept, course, classes)


def padded(values: list[float], count: int, rest: float) -> Array:
    """Return an array of `count` values that goes on with `rest`."""
    return np.array([*values, *[rest] * (count - len(values))], dtype=np.float64)
