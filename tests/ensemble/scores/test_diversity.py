"""How members differ, against plain Python; what is not defined is None."""

import pytest
import torch
from hypothesis import given

from ensemble import pooled, scores
from ensemble.identities import oracle
from tests.drawn import examples
from tests.ensemble.draws import answers, near, same

WITH_TARGETS = ("q_statistic",)


def says(*members):
    """Log-probabilities of members that are all but certain of these classes (of three)."""
    votes = torch.nn.functional.one_hot(torch.tensor(members), 3)
    return torch.log_softmax(9.0 * votes.double(), -1)


@examples(150)
@given(answers(excluded=True))
def test_every_score_is_its_plain_twin(drawn):
    logp, y = drawn
    assert same(scores.disagreement(logp), oracle.disagreement(logp.tolist()), near(logp)) or (
        len(logp) == 1
    )
    found = scores.mutual_information(logp)
    assert same(found, oracle.mutual_information(logp.tolist()), near(logp))
    assert found >= 0
    q, made = scores.q_statistic(logp, y), oracle.q_statistic(logp.tolist(), y.tolist())
    assert q == made or same(q, made, near(logp))


@examples(100)
@given(answers())
def test_ambiguity_is_what_the_mean_gains_in_brier_score(drawn):
    logp, y = drawn
    mean = sum(scores.brier(one, y) for one in logp) / len(logp)
    assert same(scores.brier(pooled(logp), y), mean - scores.ambiguity(logp), near(logp))


def test_one_member_makes_no_pair():
    logp = says([0, 1, 2])
    assert scores.disagreement(logp) is None
    assert scores.q_statistic(logp, [0, 1, 2]) is None
    assert scores.q_pairs(logp, [0, 1, 2]) == (0, 0)
    assert scores.mutual_information(logp) == 0.0
    assert scores.ambiguity(logp) == 0.0


def test_a_member_that_is_always_right_has_no_q_with_anybody():
    y = [0, 1, 2, 0]
    logp = says(y, [0, 1, 0, 1], [0, 0, 0, 1])
    assert scores.q_pairs(logp, y) == (1, 3)
    assert (
        scores.q_statistic(logp, y) == 1.0
    )  # (of the one pair: the errors of the third hold both)
    assert scores.q_statistic(logp[:2], y) is None


def test_known_values():
    y = [0, 0, 0, 0]
    logp = says([0, 0, 1, 1], [0, 1, 0, 1])
    assert scores.q_statistic(logp, y) == 0.0
    assert scores.disagreement(logp) == 0.5
    other = says([0, 0, 1, 1], [1, 1, 0, 0])
    assert scores.q_statistic(other, y) == -1.0
    assert scores.disagreement(other) == 1.0


def test_two_certain_members_that_differ_share_one_bit():
    logp = torch.tensor([[[0.0, -torch.inf]], [[-torch.inf, 0.0]]])
    assert scores.mutual_information(logp) == pytest.approx(torch.log(torch.tensor(2.0)).item())
    assert scores.ambiguity(logp) == 0.5


def test_a_member_of_nan_is_named():
    logp = says([0, 1], [1, 1])
    logp[1, 0, 0] = torch.nan
    for name in ("disagreement", "mutual_information", "ambiguity"):
        with pytest.raises(ValueError, match="member 1, sample 0"):
            getattr(scores, name)(logp)
    with pytest.raises(ValueError, match="member 1, sample 0"):
        scores.q_statistic(logp, [0, 1])


def test_one_answer_is_not_members():
    with pytest.raises(ValueError, match=r"axes \(members, samples, classes\)"):
        scores.disagreement(says([0, 1])[0])
