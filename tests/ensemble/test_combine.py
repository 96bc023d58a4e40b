"""Answers combined by each rule, against plain Python, with ties, certainty and NaN."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble.combine import RULES, decided, pooled
from ensemble.identities import oracle
from tests.drawn import examples
from tests.ensemble.draws import answers, near

F64 = torch.float64


def logs(*rows):
    return torch.log_softmax(torch.tensor(rows, dtype=F64), -1)[:, None]


@examples(150)
@given(answers(), st.sampled_from(list(RULES)), st.data())
def test_every_rule_is_its_plain_twin(drawn, rule, data):
    logp, _ = drawn
    some = st.sampled_from([0.0, 0.5, 1.0, 3.0])
    weights = data.draw(st.lists(some, min_size=len(logp), max_size=len(logp)).filter(any))
    for w in (weights, *([None] if rule != "weighted" else [])):
        found = pooled(logp, rule, w)
        made = torch.tensor(oracle.pooled(logp.tolist(), rule, w), dtype=F64)
        assert found.shape == logp.shape[1:]
        assert ((found == made) | ((found - made).abs() <= near(logp))).all()
        assert (found.exp().sum(-1) - 1).abs().max() <= near(logp)


@examples(100)
@given(answers(excluded=True))
def test_excluded_classes_make_no_nan_where_an_answer_is_left(drawn):
    logp, _ = drawn
    for rule in ("soft", "hard"):
        found = pooled(logp, rule)
        assert not found.isnan().any()
        made = torch.tensor(oracle.pooled(logp.tolist(), rule), dtype=F64)
        assert ((found == made) | ((found - made).abs() <= near(logp))).all()
    dead = (logp == -torch.inf).any(0).all(-1)
    if len(logp) > 1 and dead.any():
        with pytest.raises(ValueError, match=rf"sample {int(dead.nonzero()[0])}: for every class"):
            pooled(logp, "geometric")
    else:
        assert not pooled(logp, "geometric").isnan().any()


@examples(100)
@given(answers(excluded=True))
def test_a_loss_of_the_mean_is_never_above_the_mean_loss(drawn):
    logp, y = drawn
    each = -logp.gather(-1, y.expand(logp.shape[:-1])[..., None])[..., 0]
    mean = -pooled(logp).gather(-1, y[:, None])[:, 0]
    assert (mean <= each.mean(0) + near(logp)).all()


@pytest.mark.parametrize("rule", ["soft", "geometric"])
def test_one_member_is_itself_to_the_last_bit(rule):
    logp = torch.log_softmax(torch.randn(1, 50, 10), -1)
    assert torch.equal(pooled(logp, rule), logp[0])
    assert torch.equal(pooled(logp.expand(3, -1, -1), rule, [0, 2.5, 0]), logp[0])


def test_a_vote_is_shared_out_and_a_class_without_one_is_impossible():
    logp = logs([3.0, 0, 0], [0, 2.0, 0], [1.0, 0, 0])
    assert pooled(logp, "hard").exp().tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3), 0]]
    assert pooled(logp, "hard")[0, 2] == -torch.inf
    assert pooled(logp, "hard", [1, 3, 1]).exp()[0].tolist() == pytest.approx([0.4, 0.6, 0.0])


@pytest.mark.parametrize("rule", RULES)
def test_ties_go_to_the_lowest_class(rule):
    logp = logs([0.0, 0, 5], [0, 5.0, 0])
    assert decided(logp, rule, [1, 1]).tolist() == [1]
    assert decided(logs([2.0, 2, 2]), rule, [1]).tolist() == [0]


def test_the_rules_decide_differently_where_they_should():
    """Two lean to class 0, one is nearly certain of class 1."""
    logp = logs([0.2, 0.0], [0.2, 0.0], [0.0, 6.0])
    found = {rule: int(decided(logp, rule, [1, 1, 1])) for rule in RULES}
    assert found == {"soft": 1, "geometric": 1, "hard": 0, "weighted": 0}


def test_a_weighted_vote_is_scikit_learns():
    """On fixed weak learners: the decision and the probabilities of its AdaBoost."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    x, target = load_iris(return_X_y=True)
    for classes in (2, 3):
        keep = target < classes
        model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=7)
        model.fit(x[keep], target[keep])
        votes = torch.tensor(np.array([e.predict(x[keep]) for e in model.estimators_]))
        logp = torch.log_softmax(9.0 * torch.nn.functional.one_hot(votes, classes).double(), -1)
        weights = model.estimator_weights_[: len(votes)]
        assert decided(logp, "weighted", weights).tolist() == model.predict(x[keep]).tolist()
        p = torch.tensor(model.predict_proba(x[keep]))
        # (p is a softmax of decisions of size 1: some operations each)
        assert (pooled(logp, "weighted", weights).exp() - p).abs().max() <= near(logp)


@pytest.mark.parametrize("rule", RULES)
def test_nan_is_never_outvoted_in_silence(rule):
    logp = torch.log_softmax(torch.randn(3, 4, 5), -1)
    logp[1, 2, 3] = torch.nan
    found = pooled(logp, rule, [1, 1, 1])
    assert found[2].isnan().any()
    assert not found[[0, 1, 3]].isnan().any()
    with pytest.raises(ValueError, match="member 1, sample 2"):
        decided(logp, rule, [1, 1, 1])


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("rule", RULES)
def test_answers_keep_their_type_and_gradients(rule, dtype):
    logits = torch.randn(3, 4, 5, dtype=dtype, requires_grad=True)
    found = pooled(torch.log_softmax(logits, -1), rule, [1, 2, 3])
    assert found.dtype == dtype
    if rule in ("soft", "geometric"):
        found[:, 0].sum().backward()
        assert logits.grad.abs().max() > 0


def test_a_weight_that_vanishes_has_no_say():
    """A share of 1e-60 is 0 in float32, and 0 times minus infinity would be NaN."""
    logp = torch.tensor([[[0.0, -torch.inf]], [[-torch.inf, 0.0]]])
    assert pooled(logp, "geometric", [1.0, 1e-60]).tolist() == [[0.0, -torch.inf]]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0], "weights are 2 finite numbers, one per member"),
        ([1.0, -1.0], r"none negative .* got \[1.0, -1.0\]"),
        ([0.0, 0.0], "not all 0"),
        ([1.0, float("nan")], "finite"),
        ([1.0, float("inf")], "finite"),
        ([[1.0, 1.0]], "one per member"),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_weights_that_are_none_are_refused(rule, weights, words):
    with pytest.raises(ValueError, match=words):
        pooled(torch.full((2, 3, 2), 0.5).log(), rule, weights)


def test_other_wrong_inputs_are_refused():
    two = torch.full((2, 3, 2), 0.5).log()
    with pytest.raises(ValueError, match="unknown rule 'sotf': did you mean 'soft'"):
        pooled(two, "sotf")
    with pytest.raises(ValueError, match="a weighted vote needs weights="):
        pooled(two, "weighted")
    with pytest.raises(ValueError, match=r"at least one member, got torch.float32 of shape \(0, 3"):
        pooled(two[:0])
    with pytest.raises(ValueError, match=r"got torch.float32 of shape"):
        pooled(two[0])
    with pytest.raises(ValueError, match=r"got torch.int64"):
        pooled(two.long())
    for call in (pooled, decided):
        with pytest.raises(ValueError, match=r"log-probabilities are at most 0, got 0\.5: of prob"):
            call(two.exp())
    with pytest.raises(ValueError, match="between classes, got a single one"):
        pooled(torch.zeros(2, 3, 1), "weighted", [1, 1])
    for rule in ("soft", "geometric", "hard"):  # (a single class is always right)
        assert pooled(torch.zeros(2, 3, 1), rule).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("combine", [decided, pooled])
def test_a_list_of_answers_is_told_how_it_becomes_one_tensor(combine):
    with pytest.raises(ValueError, match=r"got a list: ensemble\.log_probabilities\(\[logits"):
        combine([torch.zeros(2, 3)])
