"""The verb `verify`: every identity holds, and what does not is found."""

import csv
import json
import math

import pytest
import torch

from ensemble import verify
from ensemble.identities import cascading, combining, findings
from ensemble.identities.findings import SUBJECTS, main
from ensemble.identities.identity import LIMITS, Identity, apart, furthest
from ensemble.scores import answers, calibration


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_identities_hold(subject):
    found = verify(subject)
    assert found.ok, found
    assert len(found) >= 10
    for each in found:
        assert each.subject == subject
        if each.kind == "rounding" and "torchmetrics" not in each.identity:
            assert 0 < each.bound <= LIMITS["rounding"]


def test_without_a_subject_all_are_shown():
    found = verify()
    assert [each.subject for each in found] == sorted(
        (each.subject for each in found), key=list(SUBJECTS).index
    )
    assert {each.subject for each in found} == set(SUBJECTS)
    assert repr(found).endswith(f"{len(found)} of {len(found)} identities hold")


def failed(subject):
    return {each.identity for each in verify(subject) if not each.ok}


def test_a_mean_of_logits_in_place_of_probabilities_is_found(monkeypatch):
    right = combining.pooled

    def wrong(logp, rule="soft", weights=None):
        return logp.mean(0) if rule == "soft" else right(logp, rule, weights)

    monkeypatch.setattr(combining, "pooled", wrong)
    assert "soft = plain-Python twin" in failed("combine")
    assert "Krogh-Vedelsby: Brier = mean Brier - ambiguity, each sample" in failed("combine")


def test_a_bin_of_its_own_for_certain_answers_is_found(monkeypatch):
    right = torch.searchsorted
    monkeypatch.setattr(
        calibration.torch, "searchsorted", lambda edges, x: right(edges, x) - (x == 1).long()
    )
    assert "ECE with confidences of exactly 1 = count by numpy.histogram" in failed("scores")


def test_a_loss_that_forgets_a_sample_is_found(monkeypatch):
    losses = answers.losses
    monkeypatch.setattr(answers, "losses", lambda logp, y: losses(logp, y)[..., 1:])
    assert {"NLL = scikit-learn's log_loss", "nll = plain-Python twin"} <= failed("scores")


def test_a_cascade_that_asks_everybody_is_found(monkeypatch):
    from ensemble.cascade.rule import Rule

    monkeypatch.setattr(
        Rule, "enough", lambda self, measured, bound: torch.zeros_like(measured, dtype=torch.bool)
    )
    found = failed("cascade")
    assert "average, threshold 0 = the first link" in found
    assert "average: answers and links asked = plain-Python twin" in found


def test_a_cost_that_counts_a_link_too_few_is_found(monkeypatch):
    spent = cascading.spent
    monkeypatch.setattr(cascading, "spent", lambda asked, macs: spent(asked, (0, *macs[1:])))
    assert "cost = sum over the samples" in failed("cascade")


def test_a_check_that_breaks_is_a_finding_with_its_error():
    def breaks():
        raise ZeroDivisionError("by zero")

    found = findings._find("combine", Identity("it works", "exact", breaks))
    assert not found.ok
    assert found.error == "ZeroDivisionError: by zero"
    (line,) = findings.objects([found])
    assert line["deviation"] is None
    assert "ZeroDivisionError: by zero" in repr(findings.Findings([found]))


def test_nan_is_as_far_off_as_can_be():
    assert furthest(0.0, math.nan) == furthest(math.nan, 0.0) == math.inf
    ones = torch.tensor([0.0, -torch.inf])
    assert apart(ones, ones) == 0
    assert apart(ones, torch.tensor([0.0, torch.nan])) == math.inf
    assert apart(ones, torch.tensor([0.0, 1.0])) == math.inf


def test_the_command_line(tmp_path, capsys):
    assert main(["combine", "--json", "--to", str(tmp_path / "found.csv")]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert all(line["ok"] and line["bound"] >= line["deviation"] >= 0 for line in lines)
    with open(tmp_path / "found.csv") as file:
        written = list(csv.DictReader(file))
    assert [line["name"] for line in written] == [line["name"] for line in lines]
    with pytest.raises(ValueError, match="expected a file that ends in"):
        main(["combine", "--to", "found.latex"])
    with pytest.raises(ValueError, match="unknown subject 'cascad': did you mean 'cascade'"):
        main(["cascad"])


def test_it_ends_with_1_where_something_fails(monkeypatch, capsys):
    monkeypatch.setitem(LIMITS, "negative", 1e9)
    assert main(["scores"]) == 1
    assert "FAILED" in capsys.readouterr().out
