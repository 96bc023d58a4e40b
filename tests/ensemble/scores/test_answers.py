"""Accuracy, NLL, Brier and AURC against plain Python, and whatever the order of the samples."""

import math

import pytest
import torch
from hypothesis import given

from ensemble import scores
from ensemble.identities import oracle
from tests.drawn import examples
from tests.ensemble.draws import answers, near, same

NAMES = ("accuracy", "nll", "brier", "aurc")


@examples(150)
@given(answers(members=(1, 1), excluded=True))
def test_every_score_is_its_plain_twin(drawn):
    logp, y = drawn
    for name in NAMES:
        found = getattr(scores, name)(logp[0], y)
        assert isinstance(found, float)
        assert not math.isnan(found)
        assert same(found, getattr(oracle, name)(logp[0].tolist(), y.tolist()), near(logp)), name


@examples(60)
@given(answers(members=(1, 1), samples=(2, 12)))
def test_no_score_depends_on_the_order_of_the_samples(drawn):
    logp, y = drawn
    order = torch.arange(len(y) - 1, -1, -1)
    for name in (*NAMES, "ece", "adaptive_ece", "classwise_ece"):
        score = getattr(scores, name)
        assert same(score(logp[0], y), score(logp[0][order], y[order]), near(logp)), name


def test_scores_of_a_known_answer():
    logp = torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.125, 0.875]], dtype=torch.float64).log()
    y = [0, 1, 1]
    assert scores.accuracy(logp, y) == pytest.approx(2 / 3)
    assert scores.nll(logp, y) == pytest.approx(-(math.log(0.5 * 0.25 * 0.875)) / 3)
    assert scores.brier(logp, y) == pytest.approx((2 * 0.25 + 2 * 0.75**2 + 2 * 0.125**2) / 3)
    # surest first: right, wrong, right (a tie of classes goes to the lower one)
    assert scores.aurc(logp, y) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_equally_sure_samples_count_with_their_mean_error():
    logp = torch.tensor([[0.5, 0.5]] * 2, dtype=torch.float64).log()
    assert scores.aurc(logp, [0, 1]) == scores.aurc(logp, [1, 0]) == 0.5


def test_an_impossible_target_has_an_infinite_loss_and_a_finite_brier_score():
    logp = torch.tensor([[0.0, -torch.inf]])
    assert scores.nll(logp, [1]) == math.inf
    assert scores.brier(logp, [1]) == 2.0


def test_scores_are_computed_in_float64():
    """A float32 probability that is 1 has lost what its logits say."""
    logits = torch.tensor([[30.0, 0.0]])
    assert torch.softmax(logits, -1)[0, 0] == 1
    logp = torch.log_softmax(logits.double(), -1)
    assert scores.nll(logp, [0]) == pytest.approx(math.exp(-30), rel=1e-9)


def test_what_cannot_be_scored_is_refused_by_every_score():
    fine = torch.full((2, 2), 0.5).log()
    for name in (*NAMES, "ece", "adaptive_ece", "classwise_ece"):
        score = getattr(scores, name)
        with pytest.raises(ValueError, match=r"sample 1: log-probabilities that are NaN"):
            score(torch.tensor([[0.5, 0.5], [torch.nan, 0.5]]).log(), [0, 1])
        with pytest.raises(ValueError, match="none of them empty"):
            score(fine[:0], [])
        with pytest.raises(ValueError, match="numbers of classes, int64"):
            score(fine, [0.0, 1.0])
