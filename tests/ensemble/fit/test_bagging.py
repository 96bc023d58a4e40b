"""Draws with replacement."""

import pytest
import torch

from ensemble.fit import bagging
from ensemble.fit.bagging import bootstrap, drawn


def test_draws_go_by_weight_and_never_take_what_has_none():
    w = torch.tensor([0.0, 3.0, 1.0, 0.0])
    counts = sum(torch.bincount(drawn(w, seed), minlength=4) for seed in range(500))
    assert counts[0] == counts[3] == 0
    # 2000 draws, 1500 expected: six standard deviations of a binomial are 116.
    assert abs(int(counts[1]) - 1500) < 117
    assert torch.equal(drawn(w, 7), drawn(w, 7))


def test_a_bootstrap_without_some_class_is_drawn_anew_and_counted():
    y = torch.tensor([0] * 9 + [1])
    found = [bootstrap(y, torch.ones(10), seed) for seed in range(30)]
    assert all(len(y[index].unique()) == 2 for index, _ in found)
    assert any(thrown for _, thrown in found)


def test_a_class_that_no_bootstrap_holds_is_named(monkeypatch):
    monkeypatch.setattr(bagging, "drawn", lambda w, seed, draw: torch.zeros(10, dtype=torch.long))
    with pytest.raises(ValueError, match=r"none of 100 bootstraps .* class 1 has 1 of them"):
        bootstrap(torch.tensor([0] * 9 + [1]), torch.ones(10), 0)
