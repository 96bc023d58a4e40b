"""Samples, their weights and draws."""

import pytest
import torch
from torch import nn

from ensemble.fit import samples
from ensemble.fit.samples import answers, bootstrap, checked, drawn, same_classes, weighted
from tests.ensemble.fit.tasks import normed

X, Y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (X, Y.float(), r"int64, got torch.float32: y.long\(\)"),
        (X, Y.bool(), "got torch.bool"),
        (X, Y[:3], r"need targets of shape \(4,\), at least one; got shape \(3,\)"),
        (X[:0], Y[:0], "at least one"),
        (X, Y - 1, "from 0 on, got -1"),
        (X / 0, Y, "sample 0 is not finite"),
        (X.numpy(), Y, "x is a tensor, got an ndarray"),
    ],
)
def test_samples_that_cannot_be_trained_on_are_refused(x, y, said):
    with pytest.raises(ValueError, match=said):
        checked(x, y)


def test_weights_have_mean_1_and_go_by_ratio_alone():
    assert weighted([1, 3], 2).tolist() == [0.5, 1.5]
    assert torch.equal(weighted([2, 6], 2), weighted(torch.tensor([1.0, 3.0]), 2))
    with pytest.raises(
        ValueError, match=r"3 samples need a weight each, got weights of shape \(2,"
    ):
        weighted([1, 1], 3)


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
    monkeypatch.setattr(samples, "drawn", lambda w, seed, draw: torch.zeros(10, dtype=torch.long))
    with pytest.raises(ValueError, match=r"none of 100 bootstraps .* class 1 has 1 of them"):
        bootstrap(torch.tensor([0] * 9 + [1]), torch.ones(10), 0)


def test_answers_come_in_eval_mode_and_modes_are_kept():
    net = normed()
    net[1].eval()
    x = torch.randn(1203, 16, dtype=torch.float64)
    found = answers(net, x)
    assert net.training
    assert not net[1].training
    torch.testing.assert_close(found, net.eval()(x), rtol=1e-12, atol=1e-12)


def test_a_member_of_other_classes_is_named_with_both_numbers():
    nets = [nn.Linear(2, 3), nn.Linear(2, 4)]
    with pytest.raises(ValueError, match=r"member 1 .* shape \(1, 4\), and y has 3 classes"):
        same_classes(nets, X, 3)
