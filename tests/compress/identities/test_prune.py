"""What is wrong with scores and masks is found by their identities."""

import torch

from compress import verify
from compress.pruning import apply, choose, densities, flow, scores


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
