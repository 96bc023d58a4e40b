"""Boosted nets as a classifier, alone and in the hands of scikit-learn."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ensemble import BoostedNets
from ensemble.combine import RULES
from ensemble.identities.boosting import data
from tests.python import ROOT

X, NUMBERS = data(3)  # iris, in a random order
X = X.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])
Y = NAMES[NUMBERS]


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def model(**rest):
    return BoostedNets(**{"factory": net, "n_estimators": 4, "epochs": 3, "batch_size": 10, **rest})


@pytest.fixture(scope="module")
def fitted():
    return model().fit(X[:100], Y[:100])


def test_it_learns_labels_of_any_kind(fitted):
    assert fitted.score(X[100:], Y[100:]) > 0.8
    assert fitted.classes_.tolist() == sorted(NAMES)
    assert set(fitted.predict(X)) <= set(NAMES)
    numbers = model().fit(torch.from_numpy(X[:100]), torch.from_numpy(NUMBERS[:100]))
    assert (NAMES[numbers.predict(X.tolist())] == fitted.predict(X)).all()


@pytest.mark.parametrize("combine", RULES)
def test_the_last_stage_is_the_whole_and_probabilities_go_with_classes(fitted, combine):
    fitted.combine = combine
    stages = list(fitted.staged_predict(X))
    assert len(stages) == len(fitted.estimators_)
    assert (stages[-1] == fitted.predict(X)).all()
    proba = fitted.predict_proba(X)
    assert proba.shape == (len(X), 3)
    assert proba.sum(1) == pytest.approx(np.ones(len(X)), abs=1e-12)
    assert np.array_equal(list(fitted.staged_predict_proba(X))[-1], proba)
    assert (fitted.classes_[proba.argmax(1)] == fitted.predict(X)).all()
    assert np.exp(fitted.predict_log_proba(X)) == pytest.approx(proba, abs=1e-12)


def test_a_smaller_model_is_the_first_stages_of_a_larger_one(fitted):
    small = model(n_estimators=2).fit(X[:100], Y[:100])
    fitted.combine = "soft"
    _, second, *_ = fitted.staged_predict_proba(X)
    assert np.array_equal(second, small.predict_proba(X))
    assert np.array_equal(small.estimator_weights_, fitted.estimator_weights_[:2])


def test_two_classes_have_one_number_of_decision():
    two = NUMBERS < 2
    make = lambda: nn.Linear(4, 2)  # noqa: E731
    found = BoostedNets(make, 3, epochs=1, combine="weighted").fit(X[two], Y[two])
    decided = found.decision_function(X[two])
    assert decided.shape == (two.sum(),)
    assert (found.predict(X[two]) == found.classes_[(decided > 0).astype(int)]).all()


def test_what_was_never_made_has_no_say(fitted):
    easy = BoostedNets(lambda: nn.Linear(4, 2), 5, epochs=10).fit(X, NUMBERS == 0)
    for found in (fitted, easy):
        kept = len(found.estimators_)
        assert len(found.estimator_weights_) == len(found.estimator_errors_) == found.n_estimators
        assert (found.estimator_weights_[kept:] == 0).all()
        assert (found.estimator_errors_[kept:] == 1).all()
        assert len(found.effective_) == kept
        assert found.ended_
        assert np.isfinite(found.predict_proba(X)).all()
    assert easy.estimator_weights_.tolist() == [1.0, 0, 0, 0, 0]


def test_it_is_cloned_searched_and_cross_validated():
    one = model(learning_rate=0.5)
    other = clone(one)
    assert other is not one
    assert other.get_params() == one.get_params()
    assert is_classifier(one)
    pipe = make_pipeline(StandardScaler(), one)
    assert cross_val_score(pipe, X, Y, cv=3).min() > 0.7
    grid = {"boostednets__learning_rate": [0.1, 0.3], "boostednets__combine": ["soft", "hard"]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, Y)
    assert set(search.best_params_) == set(grid)
    assert search.predict_proba(X).shape == (len(X), 3)
    assert pipe.fit(X, Y, boostednets__sample_weight=np.ones(len(X))).score(X, Y) > 0.7


def test_parameters_are_set_by_name_all_or_none():
    one = model()
    assert one.set_params(epochs=7, rule="iddl") is one
    assert (one.epochs, one.rule) == (7, "iddl")
    with pytest.raises(ValueError, match="unknown parameter 'epoch': did you mean 'epochs'"):
        one.set_params(batch_size=3, epoch=1)
    assert one.batch_size == 10
    assert "epochs=7" in repr(one)
    assert "seed" not in repr(one)


def test_it_is_fitted_when_it_is(fitted):
    check_is_fitted(fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(model())
    with pytest.raises(NotFittedError, match=r"not fitted yet: call fit\(x, y\) first"):
        model().predict(X)
    with pytest.raises(ValueError, match=r"nothing to resume: call fit\(x, y\) first"):
        model().resume()
    with pytest.raises(ValueError, match="nothing to resume: the fit came to its end, all 4 memb"):
        fitted.resume()


def test_a_pickled_model_answers_the_same(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_a_new_fit_forgets_the_old_one_and_repeats_itself(fitted):
    again = model().fit(X[:60], Y[:60]).fit(X[:100], Y[:100])
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_a_frame_in_another_order_of_columns_is_no_silent_guess(fitted):
    frame = pd.DataFrame(X, columns=list("abcd"))
    one = model(epochs=1, n_estimators=1).fit(frame, Y)
    assert one.feature_names_in_.tolist() == list("abcd")
    assert np.array_equal(one.predict_proba(frame), one.predict_proba(X))
    shuffled = frame[list("badc")]
    with pytest.raises(ValueError, match="in another order"):
        one.predict(shuffled)
    assert np.array_equal(one.predict(shuffled[list(one.feature_names_in_)]), one.predict(X))
    assert not hasattr(one.fit(X, Y), "feature_names_in_")
    assert not hasattr(fitted, "feature_names_in_")


def test_no_seed_is_one_that_is_drawn_and_kept():
    one, other = (model(seed=None).fit(X, Y) for _ in range(2))
    assert one.seed is other.seed is None
    assert one.seed_ != other.seed_
    again = model(seed=one.seed_).fit(X, Y)
    assert np.array_equal(again.predict_proba(X), one.predict_proba(X))


def test_sample_weights_of_0_are_samples_that_are_not_answered_for():
    w = np.ones(len(X))
    w[:100] = 0
    turned = np.array(Y)
    turned[:100] = NAMES[(NUMBERS[:100] + 1) % 3]
    one, other = (model().fit(X, labels, sample_weight=w) for labels in (Y, turned))
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.score(X, turned, sample_weight=w) == one.score(X[100:], Y[100:])


class Interrupted(nn.Linear):
    """A net in which somebody presses Ctrl-C, once."""

    left = 0

    def forward(self, x):
        Interrupted.left -= 1
        if not Interrupted.left:
            raise KeyboardInterrupt
        return super().forward(x)


def test_after_ctrl_c_it_goes_on_where_it_was():
    make = lambda: Interrupted(4, 3)  # noqa: E731
    whole = BoostedNets(make, 3, epochs=2).fit(X, Y)
    Interrupted.left = 20
    broken = BoostedNets(make, 3, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, Y)
    assert len(broken._training.nets) == 1
    with pytest.raises(NotFittedError):
        check_is_fitted(broken)
    broken.resume()
    assert np.array_equal(broken.predict_proba(X), whole.predict_proba(X))


@pytest.mark.parametrize(
    ("change", "x", "y", "said"),
    [
        ({}, X, np.zeros(len(X)), "the single class"),
        ({}, X, NUMBERS + 0.5, "sample 0 has .*5, which is no whole number"),
        ({}, X, np.where(np.arange(len(X)) == 7, np.nan, NUMBERS), "sample 7 has nan, which is"),
        ({}, csr_array(X), Y, r"samples are dense here, got a csr_array: x.toarray\(\)"),
        ({}, X[1:], Y, "149 samples need a label each, got 150"),
        ({}, np.full_like(X, np.nan), Y, "sample 0 is not finite"),
        ({"combine": "mean"}, X, Y, "unknown combine 'mean'"),
        ({"rule": "samme.r"}, X, Y, "unknown rule 'samme.r': did you mean 'samme'"),
        ({"n_estimators": 0}, X, Y, "n_estimators must be a whole number of at least 1, got 0"),
        ({"n_estimators": 2.5}, X, Y, "n_estimators must be a whole number .* got 2.5"),
        ({"epochs": 1.5}, X, Y, "epochs must be a whole number of at least 1, got 1.5"),
        ({"factory": net()}, X, Y, "made anew by a function, .* got a Sequential"),
        ({"factory": lambda: nn.Linear(4, 7)}, X, Y, r"shape \(1, 7\), and y has 3 classes"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, x, y, said):
    with pytest.raises(ValueError, match=said):
        model(**change).fit(x, y)


def test_weights_that_are_none_and_other_features_are_said(fitted):
    with pytest.raises(ValueError, match=r"not negative, got -1\.0 of sample 0"):
        model().fit(X, Y, -np.ones(len(X)))
    with pytest.raises(ValueError, match="all sample weights are 0"):
        model().fit(X, Y, np.zeros(len(X)))
    with pytest.raises(ValueError, match="3 features, and the model was fitted on 4"):
        fitted.predict(X[:, :3])


def test_a_fit_does_not_load_scikit_learn():
    code = (
        "import sys\nfrom ensemble import BoostedNets\nfrom torch import nn\n"
        "x = [[i % 2 * 1.0, i % 3 * 1.0] for i in range(12)]\n"
        "m = BoostedNets(lambda: nn.Linear(2, 2), 2).fit(x, [i % 2 for i in range(12)])\n"
        "m.predict(x), m.get_params()\nassert 'sklearn' not in sys.modules"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
