"""Weak learners boosted: that the identities with scikit-learn see each way in which it ends."""

import numpy as np
import pytest

from ensemble import boost
from ensemble.boosting import learner
from ensemble.boosting.vote import classes_of, decision, probabilities, staged
from ensemble.identities import boosting


@pytest.mark.parametrize(
    ("call", "ended"),
    [
        ((3, 9, 1.0, False), "made no error"),
        ((3, 1, 1.5, True), "no better than chance, and was dropped"),
        ((3, 1, 2000.0, False), "inf in sum"),
        ((10, 2, 1.0, False), "all 12 members are there"),
    ],
)
@pytest.mark.filterwarnings("ignore:the weights after member")
def test_the_cases_of_the_identities_end_as_they_are_called(monkeypatch, call, ended):
    courses = []

    class Seen(learner.Course):
        def __init__(self, *args):
            super().__init__(*args)
            courses.append(self)

    monkeypatch.setattr(learner, "Course", Seen)
    classes, depth, rate, deaf = call
    x, y = boosting.data(classes)
    boosting.ours(boosting.weak(depth, deaf), x, y, None, rate)
    assert ended in courses[0].ended


def test_labels_of_any_kind_come_back():
    x = np.arange(8.0)[:, None]
    y = np.array(["cat", "dog"])[(x[:, 0] > 3).astype(int)]

    def guess(x, y, w):  # right but for sample 0
        return lambda x: np.where((x[:, 0] > 3) | (x[:, 0] == 0), "dog", "cat")

    found = boost(guess, x, y, members=3)
    assert found.predict(x).tolist() == ["dog", *["cat"] * 3, *["dog"] * 4]
    assert len(list(found.staged_predict(x))) == len(found.members)
    assert found.predict_proba(x).sum(1) == pytest.approx(np.ones(8))


def test_ties_of_a_vote_go_to_the_lowest_class():
    votes = [np.array([2, 1]), np.array([1, 2])]
    assert classes_of(decision(votes, np.ones(2), 3)).tolist() == [1, 1]


def test_the_last_stage_is_the_whole_vote():
    votes = [np.array([0, 1, 1]), np.array([1, 1, 0]), np.array([0, 0, 0])]
    alphas = np.array([0.5, 0.25, 0.25, 0.0])  # (whole in binary: no order of sums matters)
    *_, last = staged(votes, alphas, 2)
    assert np.array_equal(last, decision(votes, alphas, 2))
    p = probabilities(last)
    d = last[:, 1] - last[:, 0]
    assert p[:, 1] == pytest.approx(1 / (1 + np.exp(-d)), rel=1e-14)
