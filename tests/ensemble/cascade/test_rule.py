"""The rule of a cascade: what it takes, and who is sure enough."""

import numpy as np
import pytest
import torch

from ensemble.cascade import Rule
from ensemble.cascade.rule import most


@pytest.mark.parametrize("bound", [-0.1, 1.1, 2, float("nan"), (0.5, 1.5), "sure"])
def test_thresholds_are_from_zero_to_one(bound):
    with pytest.raises(ValueError, match=r"threshold in \[0, 1\].*got .*; 0 lets every sample"):
        Rule(bound)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (dict(answer="averge"), "unknown answer 'averge': did you mean 'average'"),
        (dict(criterion="max"), "unknown criterion 'max'"),
        (dict(combine="mean"), "unknown rule 'mean'"),
        (dict(agree=0), "how many links must agree, from 1 on; got 0"),
        (dict(agree=True), "from 1 on; got True"),
        (dict(agree=2.0), "from 1 on; got 2.0"),
        (dict(combine="weighted"), "a weighted vote needs weights="),
        (dict(weights=(1.0, 0.0)), "finite and above 0"),
        (dict(weights=(1.0, float("nan"))), "finite and above 0"),
    ],
)
def test_other_words_are_refused(words, error):
    with pytest.raises(ValueError, match=error):
        Rule(**words)


def test_a_rule_that_does_not_fit_a_chain_is_refused():
    with pytest.raises(ValueError, match="each of 3 links before the last"):
        Rule((0.5, 0.6)).fit_for(4)
    with pytest.raises(ValueError, match="4 links need as many weights, got 2"):
        Rule(weights=(1, 2)).fit_for(4)
    with pytest.raises(ValueError, match="5 of 4 links cannot agree: agree= is 1 to 4"):
        Rule(agree=5).fit_for(4)
    assert Rule((0.5, 0.6)).fit_for(3).bounds(3) == (0.5, 0.6)
    assert Rule(0.5).fit_for(1).bounds(1) == ()


def test_thresholds_of_arrays_and_tensors_become_plain_values():
    assert Rule(np.array([0.25, 0.5])) == Rule(torch.tensor([0.25, 0.5])) == Rule([0.25, 0.5])
    assert Rule(torch.tensor(0.5), weights=np.array([1.0, 2.0])) == Rule(0.5, weights=(1.0, 2.0))


def test_votes_are_counted_and_nan_has_none():
    logp = torch.log_softmax(9.0 * torch.eye(3)[[0, 1, 1, 2]], -1)[:, None].repeat(1, 2, 1)
    assert most(logp).tolist() == [2.0, 2.0]
    logp[1, 1, 0] = torch.nan
    assert most(logp).tolist() == [2.0, 1.0]


def test_what_is_averaged_is_what_was_asked_with_its_weights():
    logp = torch.tensor([[[0.5, 0.5]], [[0.25, 0.75]], [[1.0, 0.0]]]).log()
    rule = Rule(weights=(1, 3, 100))
    assert rule.running(logp[:1])[0].exp().tolist() == [0.5, 0.5]
    found = rule.running(logp[:2])[0].exp().tolist()
    assert found == pytest.approx([(0.5 + 3 * 0.25) / 4, (0.5 + 3 * 0.75) / 4])
    assert torch.equal(Rule(answer="replace").running(logp[:2]), logp[1])
