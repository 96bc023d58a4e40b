"""The row of all scores: what is in it, raw and after a temperature."""

import json

import pytest
import torch
from hypothesis import given

from ensemble import pooled, scored, temperature, tempered
from ensemble import scores as each
from ensemble.identities.task import answers as task
from tests.drawn import examples
from tests.ensemble.draws import answers, near, same


def test_a_row_holds_every_score_under_its_name():
    logp, y = task()
    t = temperature(pooled(logp), y, "validation")
    row = scored(logp, y, temperature=t)
    answer, after = pooled(logp), tempered(pooled(logp), t)
    for name in ("nll", "brier", "ece", "adaptive_ece", "classwise_ece", "aurc"):
        assert row[name] == getattr(each, name)(answer, y)
        assert row[f"calibrated_{name}"] == getattr(each, name)(after, y)
    assert row["accuracy"] == each.accuracy(answer, y)
    assert row["temperature"] == t
    assert row["calibrated_nll"] < row["nll"]
    for name in ("disagreement", "mutual_information", "ambiguity"):
        assert row[name] == getattr(each, name)(logp)
    assert row["q_statistic"] == each.q_statistic(logp, y)
    assert (row["members"], row["pairs_without_q"]) == (5, 0)
    assert json.loads(json.dumps(row)) == row


def test_without_a_temperature_nothing_is_called_calibrated():
    logp, y = task()
    assert not [name for name in scored(logp, y) if "calibrated" in name or "temp" in name]


def test_other_rules_are_scored_too():
    logp, y = task()
    hard = scored(logp, y, "hard")
    assert hard["accuracy"] == each.accuracy(pooled(logp, "hard"), y)
    weighted = scored(logp, y, "weighted", [1, 2, 3, 4, 5])
    assert weighted["accuracy"] == each.accuracy(pooled(logp, "weighted", [1, 2, 3, 4, 5]), y)


@examples(60)
@given(answers())
def test_the_row_fulfils_the_identities(drawn):
    logp, y = drawn
    row = scored(logp, y)
    assert not [name for name, value in row.items() if value != value]
    assert row["nll"] <= row["mean_nll"] + near(logp)
    assert same(row["brier"], row["mean_brier"] - row["ambiguity"], near(logp))


def test_what_cannot_be_scored_is_refused():
    logp, y = task()
    with pytest.raises(ValueError, match="numbers of classes, int64"):
        scored(logp, y.double())
    with pytest.raises(ValueError, match="unknown rule"):
        scored(logp, y, "mean")
    with pytest.raises(ValueError, match="a number above 0"):
        scored(logp, y, temperature=0.0)
    spoiled = logp.clone()
    spoiled[3, 2] = torch.nan
    with pytest.raises(ValueError, match=r"member 3, sample 2: .* NaN"):
        scored(spoiled, y)
