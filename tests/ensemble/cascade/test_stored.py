"""Cascades from stored answers, against plain Python, and what they cost."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble import pooled
from ensemble.cascade import Rule, answered, spent
from ensemble.identities import oracle
from tests.drawn import examples
from tests.ensemble.draws import answers, near

BOUND = st.sampled_from([0.0, 0.37, 0.5003, 0.81, 0.9999, 1.0])


@examples(150)
@given(answers(excluded=True), st.sampled_from(["average", "replace"]), st.data())
def test_answers_and_links_asked_are_those_of_plain_python(drawn, answer, data):
    logp, _ = drawn
    links = len(logp)
    bounds = data.draw(st.lists(BOUND, min_size=links - 1, max_size=links - 1))
    found = answered(logp, Rule(bounds, answer))
    rows, asked = oracle.asked(logp.tolist(), bounds, answer)
    made = logp.new_tensor(rows)
    assert found.asked.tolist() == asked
    assert ((found.logp == made) | ((found.logp - made).abs() <= near(logp))).all()
    assert ((found.score >= 0) & (found.score <= 1 + near(logp))).all()


@examples(60)
@given(answers(members=(2, 4)), st.sampled_from(["average", "replace"]))
def test_a_threshold_of_one_asks_all_and_of_zero_the_first(drawn, answer):
    logp, _ = drawn
    whole = answered(logp, Rule(1.0, answer))
    assert torch.equal(whole.logp, pooled(logp) if answer == "average" else logp[-1])
    assert whole.asked.tolist() == [len(logp)] * logp.shape[1]
    first = answered(logp, Rule(0.0, answer))
    assert torch.equal(first.logp, logp[0])
    assert first.asked.tolist() == [1] * logp.shape[1]


@examples(60)
@given(answers(members=(2, 4)), BOUND, BOUND)
def test_a_lower_threshold_asks_nobody_more(drawn, one, other):
    low, high = sorted((one, other))
    logp, _ = drawn
    assert (answered(logp, Rule(low)).asked <= answered(logp, Rule(high)).asked).all()


def test_until_two_agree():
    votes = torch.tensor([[0, 0, 2], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # (links, samples)
    logp = torch.log_softmax(9.0 * torch.nn.functional.one_hot(votes, 3).double(), -1)
    found = answered(logp, Rule(agree=2, combine="hard"))
    assert found.asked.tolist() == [2, 3, 4]
    assert found.logp.argmax(-1).tolist() == [0, 1, 0]
    replaced = answered(logp, Rule(agree=2, answer="replace"))
    assert replaced.asked.tolist() == [2, 3, 4]
    assert replaced.logp.argmax(-1).tolist() == [0, 1, 0]
    assert answered(logp, Rule(agree=1)).asked.tolist() == [1, 1, 1]


def test_a_link_that_says_nan_is_never_sure():
    logp = torch.log_softmax(9.0 * torch.eye(3).double(), -1).repeat(2, 1, 1)
    logp[0, 1] = torch.nan
    found = answered(logp, Rule(0.9, "replace"))
    assert found.asked.tolist() == [1, 2, 1]
    assert not found.logp.isnan().any()
    assert answered(logp, Rule(0.9)).logp[1].isnan().all()  # (averaged, it stays NaN)


def test_costs_are_summed_over_the_samples():
    found = spent(torch.tensor([1, 1, 3, 2]), [10, 100, 1000])
    assert found == {
        "total": 10 + 10 + 1110 + 110,
        "mean": 310.0,
        "p50": 10,
        "p99": 1110,
        "whole": 1110,
        "asked": 1.75,
        "shares": [0.5, 0.25, 0.25],
    }


@given(st.lists(st.integers(1, 4), min_size=1, max_size=40))
def test_percentiles_are_costs_that_samples_have(asked):
    macs = [7, 11, 0, 5]
    found = spent(torch.tensor(asked), macs)
    each = sorted(sum(macs[:count]) for count in asked)
    assert found["total"] == sum(each)
    for name, percent in (("p50", 50), ("p99", 99)):
        below = sum(c <= found[name] for c in each)
        assert found[name] in each
        assert 100 * below >= percent * len(each)
        assert 100 * sum(c < found[name] for c in each) < percent * len(each)


@pytest.mark.parametrize("asked", [[], [0, 1], [1, 4]])
def test_links_without_a_cost_are_refused(asked):
    with pytest.raises(ValueError, match="how many of 3 links it was asked"):
        spent(torch.tensor(asked, dtype=torch.int64), [1, 2, 3])


def test_answers_of_no_chain_are_refused():
    with pytest.raises(ValueError, match=r"axes \(links, samples, classes\)"):
        answered(torch.zeros(3, 2), Rule())
    with pytest.raises(ValueError, match="at least one link"):
        answered(torch.zeros(0, 3, 2), Rule())
    with pytest.raises(ValueError, match="each of 1 links before the last"):
        answered(torch.zeros(2, 3, 1), Rule((0.5, 0.5)))
