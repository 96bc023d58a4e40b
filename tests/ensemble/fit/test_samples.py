"""Samples, their weights and draws."""

import pytest
import torch
from torch import nn

from ensemble.fit.samples import answers, checked, same_classes, weighted
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
