"""Identities of boosting: scikit-learn's AdaBoostClassifier, bit for bit, on its own trees.

Weights that each member was fitted with, what it says, its error, the class by every stage and the
probabilities of the whole are compared. The rule of the published ensemble has a twin in plain
Python: with n samples and M members each weight is a product of M factors made of two sums over n
terms, so it is off by at most 4 n M roundings of numbers up to 1.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ensemble.boosting.learner import boost
from ensemble.boosting.rules import repeats
from harness.result.identity import Identity, furthest, roundings

ROWS = 240  # samples of each data set
SETS = {2: "load_breast_cancer", 3: "load_iris", 10: "load_digits"}
MEMBERS = 12
WALK = 6  # members of which the weights are followed in plain Python


class Course(NamedTuple):
    """What boosting did."""

    seen: list[np.ndarray]
    alphas: np.ndarray
    errors: list[float]
    stages: list[np.ndarray]
    probabilities: np.ndarray


def identities() -> Iterator[Identity]:
    """Yield the identities of boosting."""
    for classes in SETS:
        for rate, weighted in ((1.0, False), (0.5, True)):
            words = ", samples weighted, some 0" * weighted
            yield Identity(
                f"SAMME, {classes} classes, rate {rate:g}{words} = scikit-learn",
                "bitwise",
                lambda c=classes, r=rate, w=weighted: against(c, 1 + (c > 2), r, w),
            )
    yield Identity(
        "a perfect member ends it, as in scikit-learn", "bitwise", lambda: against(3, 9, 1.0, False)
    )
    yield Identity(
        "a member at chance is dropped, as in scikit-learn",
        "bitwise",
        lambda: against(3, 1, 1.5, False, deaf=True),
    )
    yield Identity(
        "infinite weights end it, as in scikit-learn",
        "bitwise",
        lambda: against(3, 1, 2000.0, False),
    )
    yield Identity("a first member at chance is refused, as in scikit-learn", "exact", refused)
    bound = roundings(4 * ROWS * WALK, 1.0)
    yield Identity("rule iddl = plain-Python twin of the published rule", "rounding", iddl, bound)
    yield Identity("rule iddl is not SAMME", "negative", turned)
    yield Identity("steps per batch = plain-Python twin", "exact", steps)


def data(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first samples, in a fixed random order, of a set with so many classes."""
    from sklearn import datasets

    x, y = getattr(datasets, SETS[classes])(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:ROWS]
    return x[order], y[order]


def against(classes: int, depth: int, rate: float, weighted: bool, deaf: bool = False) -> float:
    """Return the largest difference between boosted trees here and in scikit-learn.

    Args:
        classes: Which data.
        depth: Of the trees.
        rate: The learning rate.
        weighted: Whether samples have weights, some of them 0.
        deaf: Whether trees do not listen to the weights.
    """
    x, y = data(classes)
    w = np.random.default_rng(1).integers(0, 4, len(y)).astype(float) if weighted else None
    tree = weak(depth, deaf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = ours(tree, x, y, w, rate), other(tree, x, y, w, rate)
    return _apart(mine, theirs)


def _apart(a: Course, b: Course) -> float:
    if len(a.stages) != len(b.stages) or len(a.seen) != len(b.seen):
        return math.inf
    pairs = [*zip(a.seen, b.seen, strict=True), (a.alphas, b.alphas), (a.errors, b.errors)]
    pairs += [(a.probabilities, b.probabilities), *zip(a.stages, b.stages, strict=True)]
    return furthest(*(float(np.abs(np.subtract(p, q)).max()) for p, q in pairs))


def weak(depth: int, deaf: bool) -> Callable[[], Any]:
    """Return what makes trees that do not depend on chance; they remember their weights."""
    from sklearn.tree import DecisionTreeClassifier

    class Tree(DecisionTreeClassifier):
        def __init__(self, max_depth=1):
            super().__init__(max_depth=max_depth, random_state=0)

        def fit(self, x, y, sample_weight=None, check_input=True):  # pyright: ignore
            self.seen_ = np.array(sample_weight)
            self.random_state = 0
            return super().fit(x, y, None if deaf else sample_weight)

    return lambda: Tree(depth)


def ours(tree: Callable[[], Any], x: Any, y: Any, w: Any, rate: float) -> Course:
    """Return what the boosting of this package does."""
    trees = []

    def learner(x: Any, y: Any, w: Any) -> Any:
        trees.append(tree().fit(x, y, w))
        return trees[-1].predict

    found = boost(learner, x, y, MEMBERS, learning_rate=rate, sample_weight=w)
    kept = len(found.members)
    return Course(
        [t.seen_ for t in trees[:kept]],
        found.alphas,
        found.course.errors,
        list(found.staged_predict(x)),
        found.predict_proba(x),
    )


def other(tree: Callable[[], Any], x: Any, y: Any, w: Any, rate: float) -> Course:
    """Return what scikit-learn does."""
    from sklearn.ensemble import AdaBoostClassifier

    # (SAMME.R, another algorithm, was the default up to 1.5; the argument went in 1.8)
    both = inspect.signature(AdaBoostClassifier).parameters.get("algorithm")
    samme = {"algorithm": "SAMME"} if both is not None and both.default == "SAMME.R" else {}
    found = AdaBoostClassifier(tree(), n_estimators=MEMBERS, learning_rate=rate, **samme)
    found.fit(x, y, w)
    kept = len(found.estimators_)
    return Course(
        [t.seen_ for t in found.estimators_],
        found.estimator_weights_,
        list(found.estimator_errors_[:kept]),
        list(found.staged_predict(x)),
        found.predict_proba(x),
    )


def refused() -> float:
    """Count those that go on with a first member that always says the same of level classes."""
    from sklearn.dummy import DummyClassifier

    x, y = data(3)
    level = np.concatenate([np.flatnonzero(y == k)[:20] for k in range(3)])
    calls = (ours, other)
    went_on = 0
    for call in calls:
        try:
            call(lambda: _remembering(DummyClassifier), x[level], y[level], None, 1.0)
            went_on += 1
        except ValueError:
            pass
    return float(went_on)


def _remembering(kind: type) -> Any:
    class Same(kind):
        def fit(self, x, y, sample_weight=None):
            self.seen_ = np.array(sample_weight)
            return super().fit(x, y, sample_weight)

    return Same(strategy="most_frequent")


def _walk(rule: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the weights that each member was fitted with, and which samples it got wrong."""
    x, y = data(10)
    make = weak(2, False)
    seen, wrong = [], []

    def learner(x: Any, y: Any, w: np.ndarray) -> Any:
        seen.append(w.copy())
        predict = make().fit(x, y, w).predict
        wrong.append(predict(x) != y)
        return predict

    boost(learner, x, y, WALK, rule=rule)
    return seen, wrong


def iddl() -> float:
    """Compare the weights with w (K-1)(1-e)/e of the right ones, over their sum, sample by sample.

    Members decide from then on by the twin's weights: a wrong weight stays wrong.
    """
    seen, wrong = _walk("iddl")
    w = [1 / ROWS] * ROWS
    worst = 0.0
    for found, missed in zip(seen, wrong, strict=True):
        worst = furthest(worst, *(abs(a - b) for a, b in zip(found.tolist(), w, strict=True)))
        e = math.fsum(v for v, m in zip(w, missed, strict=True) if m)
        w = [v if m else v * 9 * (1 - e) / e for v, m in zip(w, missed, strict=True)]
        total = math.fsum(w)
        w = [max(v / total, 2.0**-52) for v in w]
    return worst


def turned() -> float:
    """Return how far apart the weights by the two rules are, relative to the mean weight."""
    (_, a, *_), (_, b, *_) = _walk("samme")[0], _walk("iddl")[0]
    return float(np.abs(a - b).max() * ROWS)


def steps() -> float:
    """Compare how often a batch is stepped on with a count in plain Python."""
    wrong = 0
    for w in (*_walk("iddl")[0], np.full(8, 0.125)):
        low, high = min(w.tolist()), max(w.tolist())
        made = [1 if high == low or v < high else 2 for v in w.tolist()]
        wrong += int((repeats(w) != np.array(made)).sum())
    return float(wrong)
