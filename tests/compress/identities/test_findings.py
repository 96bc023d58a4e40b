"""The verb `verify`: every identity holds, and what does not is found."""

import pytest
import torch

from compress import verify
from compress.identities.findings import SUBJECTS
from compress.pruning import apply, choose, densities, flow, scores
from compress.tickets import branches, ladder


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_identities_hold(subject):
    found = verify(subject)
    assert found.ok, found
    assert len(found) >= 5
    for each in found:
        assert each.subject == subject
        assert each.kind != "rounding" or 0 < each.bound <= 1e-9


def failed(subject):
    return {each.identity for each in verify(subject) if not each.ok}


def test_a_flow_of_signed_weights_is_found(monkeypatch):
    monkeypatch.setattr(flow, "linear", lambda net: net)
    found = failed("prune")
    assert "SynFlow = products of matrices" in found
    assert "SynFlow: each layer's scores sum to R, conv" in found


def test_a_score_that_forgets_the_weight_is_found(monkeypatch):
    monkeypatch.setattr(
        scores,
        "_times",
        lambda ask, g, then: {n: then(v) for n, v in zip(ask.weights, g, strict=True)},
    )
    assert {"SNIP = finite differences, exact for this net", "GraSP = the dense Hessian"} <= failed(
        "prune"
    )


def test_shares_above_one_are_found(monkeypatch):
    def uncapped(shapes, density):
        raw = {n: sum(s) / torch.Size(s).numel() for n, s in shapes.items()}
        sizes = {n: torch.Size(s).numel() for n, s in shapes.items()}
        e = density * sum(sizes.values()) / sum(raw[n] * sizes[n] for n in raw)
        return {n: e * raw[n] for n in raw}

    monkeypatch.setattr(densities, "erk", uncapped)
    assert "ERK = bisection for the one factor" in failed("prune")


def test_a_weight_too_many_is_found(monkeypatch):
    right = choose.globally
    monkeypatch.setattr(choose, "globally", lambda scores, count: right(scores, count + 1))
    assert "kept of all = the density, rounded, every score" in failed("prune")


def test_masks_that_let_gradients_through_are_found(monkeypatch):
    monkeypatch.setattr(apply.Masked, "_arriving", lambda self, p: lambda g: g)
    assert "masked training = sparse training, linear" in failed("prune")  # (through the clipping)


def test_masks_that_are_set_once_are_found(monkeypatch):
    monkeypatch.setattr(apply.Masked, "attach", lambda self, optimizer: optimizer)
    monkeypatch.setattr(apply.Masked, "_arriving", lambda self, p: lambda g: g)
    assert "masked training = sparse training, conv" in failed("prune")


def test_levels_that_go_on_from_trained_weights_are_found(monkeypatch):
    monkeypatch.setattr(branches, "_snapshot", lambda level, step: level.weights)
    found = failed("tickets")
    assert "IMP with no pruning = training again, stack" in found
    assert "what is pruned is zero, and the start is that of before, loop" in found


def test_a_round_that_takes_one_weight_more_is_found(monkeypatch):
    right = ladder.after
    monkeypatch.setattr(ladder, "after", lambda count, rate: right(count, rate) - 1)
    assert {"counts of the ladder = by hand", "counts of trained levels = the ladder"} <= failed(
        "tickets"
    )
