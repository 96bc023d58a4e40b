"""Calibration errors: which bin a confidence falls into, and what an empty one does."""

import importlib.util

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ensemble import scores
from ensemble.identities import oracle, scoring
from ensemble.scores.calibration import reliability
from tests.drawn import examples
from tests.ensemble.draws import answers, near, same


def two(*sure):
    """Answers of two classes that are so sure of class 0."""
    p = torch.tensor(sure, dtype=torch.float64)
    return torch.stack([p, 1 - p], 1).log()


@examples(150)
@given(answers(members=(1, 1), excluded=True), st.integers(1, 20))
def test_every_error_is_its_plain_twin(drawn, bins):
    logp, y = drawn
    # Within a rounding of an edge two exponentials may fall on two sides of it; 0 and 1 cannot.
    p = logp.exp() * bins
    assume(((p - p.round()).abs() > 1e-9)[(p > 1e-9) & (p < bins - 1e-9)].all())
    for name in ("ece", "adaptive_ece", "classwise_ece"):
        found = getattr(scores, name)(logp[0], y, bins)
        made = getattr(oracle, name)(logp[0].tolist(), y.tolist(), bins)
        assert same(found, made, near(logp)), name
        assert 0 <= found <= 1 + near(logp)


def test_bins_end_with_their_upper_edge():
    """.5 and .75 in ]0, .5] and ].5, .75] of four bins, 1 in the last one."""
    found = reliability(two(0.5, 0.75, 1.0, 0.8), [0, 0, 0, 0], 4)
    assert [line["samples"] for line in found] == [0, 1, 1, 2]
    assert found[0] == {
        "from": 0.0,
        "to": 0.25,
        "samples": 0,
        "confidence": None,
        "accuracy": None,
    }
    assert found[3]["confidence"] == pytest.approx(0.9)
    assert found[3]["accuracy"] == 1.0


def test_an_edge_belongs_to_the_bin_below_for_all_fifteen():
    for i in range(8, 16):
        found = reliability(two(i / 15), [0])
        assert [line["samples"] for line in found].index(1) == i - 1, i


def test_a_confidence_of_exactly_one_is_in_the_last_bin():
    """Right at .96 and wrong at 1.0: one bin of mean .98 and accuracy .5, not two bins."""
    logp = two(0.96, 1.0)
    assert scores.ece(logp, [0, 1]) == pytest.approx(0.98 - 0.5)
    apart = oracle.own_bin_for_one(oracle.sure(logp.tolist(), [0, 1]), 15)
    assert apart == pytest.approx((0.04 + 1.0) / 2)
    assert [line["samples"] for line in reliability(logp, [0, 1])][-1] == 2


def test_float32_logits_that_are_certain_stay_in_the_last_bin():
    logp = torch.log_softmax(torch.tensor([[200.0, 0.0], [1e4, -1e4]]), -1)
    assert scores.ece(logp, [0, 0]) == 0.0
    assert scores.ece(logp, [1, 1]) == 1.0


def test_known_errors():
    logp = two(0.6, 0.6, 0.9, 0.9)
    y = [0, 1, 0, 0]
    assert scores.ece(logp, y) == pytest.approx((abs(1.2 - 1) + abs(1.8 - 2)) / 4)
    assert scores.adaptive_ece(logp, y, 2) == pytest.approx(0.1)
    assert scores.classwise_ece(logp, y) == pytest.approx(0.1)
    assert scores.ece(logp, y, 1) == pytest.approx(0.0)


def test_more_bins_than_samples_are_empty_and_weigh_nothing():
    assert scores.adaptive_ece(two(0.7), [0], 15) == pytest.approx(0.3)
    assert scores.ece(two(0.7), [0], 1000) == pytest.approx(0.3)


@pytest.mark.parametrize("bins", [0, -1, 2.0, True])
@pytest.mark.parametrize("name", ["ece", "adaptive_ece", "classwise_ece"])
def test_bins_are_a_whole_number_from_one_on(name, bins):
    with pytest.raises(ValueError, match="bins are a whole number from 1 on"):
        getattr(scores, name)(two(0.7), [0], bins)


def test_torchmetrics_agrees_where_no_confidence_is_exactly_one():
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    assert scoring.torchmetrics_ece() <= scoring.TORCHMETRICS


def test_torchmetrics_is_named_among_the_identities_where_it_is_installed(monkeypatch):
    titles = {each.title for each in scoring.identities()}
    there = importlib.util.find_spec("torchmetrics") is not None
    assert ("ECE without confidences of exactly 1 = torchmetrics" in titles) == there
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert "ECE without confidences of exactly 1 = torchmetrics" in {
        each.title for each in scoring.identities()
    }
