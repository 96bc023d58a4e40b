"""The verb `verify`: every identity holds, and what does not is found."""

import csv
import json
import math

import pytest
import torch

from ensemble import verify
from ensemble.boosting import course
from ensemble.fit import group
from ensemble.identities import cascading, combining, training
from ensemble.identities.findings import SUBJECTS, main
from ensemble.scores import answers, calibration
from harness.result.findings import LIMITS, Findings, find, objects
from harness.result.identity import apart, furthest


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
    assert f"{len(found)} of {len(found)} identities hold" in repr(found).splitlines()


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


def test_a_say_that_forgets_the_classes_is_found(monkeypatch):
    monkeypatch.setattr(course, "say", lambda e, classes, rate: rate * math.log((1 - e) / e))
    found = failed("boosting")
    assert "SAMME, 10 classes, rate 1 = scikit-learn" in found
    assert not any("SAMME, 2 classes" in title for title in found)  # (of two it is ln 1)


def test_weights_that_the_next_member_does_not_get_are_found(monkeypatch):
    monkeypatch.setitem(course.RULES, "samme", lambda w, *rest: w)
    monkeypatch.setitem(course.RULES, "iddl", course.RULES["samme"])
    found = failed("boosting")
    assert {
        "SAMME, 3 classes, rate 0.5, samples weighted, some 0 = scikit-learn",
        "rule iddl = plain-Python twin of the published rule",
        "rule iddl is not SAMME",
    } <= found


def test_members_that_share_one_order_by_their_place_are_found(monkeypatch):
    monkeypatch.setattr(group.Group, "_order", shared_order)
    found = failed("training")
    assert "2 of 4 members = an ensemble trained with 2" in found
    assert "stack = loop, dense" in found


def shared_order(self):
    """An order that depends on how many companions there are."""
    n = len(self.task.x)
    return torch.stack([torch.arange(n).roll(i + len(self.seeds)) for i in range(len(self.seeds))])


def test_a_state_without_the_momentum_is_found(monkeypatch):
    right = group.Group.load_state_dict

    def forgetful(self, state):
        right(self, state | {"optimizer": self.optimizer.state_dict()})

    monkeypatch.setattr(group.Group, "load_state_dict", forgetful)
    assert {title for title in failed("training") if "killed" in title} == {
        each.title for each in training.identities() if "killed" in each.title
    }


def test_a_check_that_breaks_is_a_finding_with_its_error():
    def breaks():
        raise ZeroDivisionError("by zero")

    found = find("combine", "it works", "exact", breaks)
    assert not found.ok
    assert found.error == "ZeroDivisionError: by zero"
    (line,) = objects([found])
    assert line["deviation"] is None
    assert "ZeroDivisionError: by zero" in repr(Findings([found]))
    with pytest.raises(ZeroDivisionError):
        find("combine", "it works", "exact", breaks, through=(ZeroDivisionError,))


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
