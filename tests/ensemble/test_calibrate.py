"""One temperature: the best there is, on samples that were kept apart."""

import copy
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from ensemble import Calibrated, temperature, tempered
from ensemble.calibrate import HIGH, LOW
from ensemble.identities.task import answers as task
from ensemble.scores import nll
from tests.drawn import examples
from tests.ensemble.draws import answers, near


@examples(60)
@given(answers(members=(1, 1)))
def test_no_other_temperature_is_better(drawn):
    logp, y = drawn
    found = temperature(logp[0], y, "validation")
    best = nll(tempered(logp[0], found), y)
    assume(math.isfinite(best))
    for other in (*(found * f for f in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0)), 1.0, LOW, HIGH):
        if LOW <= other <= HIGH:
            assert best <= nll(tempered(logp[0], other), y) * (1 + 1e-12) + 1e-300


@examples(40)
@given(st.floats(0.1, 10))
def test_a_temperature_that_was_applied_is_taken_back(t):
    """T of p^(1/t) is T of p divided by t; the search stops at 1e-9, where the loss is flat."""
    logp, y = task()
    before = temperature(logp[0], y, "validation")
    after = temperature(tempered(logp[0], t), y, "validation")
    # A relative error of e moves a loss by e^2 times its curvature, here near 1: below the
    # roundings of the loss the search sees nothing, so e is some square roots of 2^-53.
    assert after * t == pytest.approx(before, rel=1e-6)


def test_the_decision_and_its_rank_stay():
    logp, _ = task()
    assert torch.equal(tempered(logp[0], 3.7).argmax(-1), logp[0].argmax(-1))
    assert tempered(logp[0], 3.7).exp().sum(-1).tolist() == pytest.approx([1.0] * len(logp[0]))


def test_an_overconfident_answer_is_cooled_and_a_shy_one_heated():
    logp, y = task()
    assert temperature(torch.log_softmax(9 * logp[0], -1), y, "validation") > 1
    assert temperature(torch.log_softmax(logp[0] / 9, -1), y, "validation") < 1


def test_the_ends_are_said_where_the_best_lies_beyond():
    right = torch.log_softmax(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double(), -1)
    assert temperature(right, [0, 1], "validation") == LOW
    assert temperature(right, [1, 0], "validation") == HIGH


def test_an_answer_that_knows_nothing_keeps_its_temperature():
    level = torch.log_softmax(torch.zeros(6, 10).double(), -1)
    assert temperature(level, [0, 1, 2, 3, 4, 5], "validation") == 1.0


@pytest.mark.parametrize("split", ["train", "training", "test"])
def test_it_is_not_fitted_on_what_a_net_was_trained_or_is_judged_on(split):
    logp, y = task()
    with pytest.raises(ValueError, match=f"a temperature cannot be fitted on '{split}'"):
        temperature(logp[0], y, split)
    net = Calibrated(nn.Linear(4, 7))
    with pytest.raises(ValueError, match=f"a temperature cannot be fitted on '{split}'"):
        net.fit(torch.zeros(3, 4), [0, 1, 2], split)


def test_an_impossible_target_is_refused():
    logp = torch.tensor([[0.0, -torch.inf]])
    with pytest.raises(ValueError, match="infinite at every temperature"):
        temperature(logp, [1], "validation")


@pytest.mark.parametrize("t", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_above_zero(t):
    with pytest.raises(ValueError, match="a number above 0"):
        tempered(torch.zeros(1, 1), t)
    with pytest.raises(ValueError, match="a number above 0"):
        Calibrated(nn.Linear(2, 2), t)


@pytest.mark.parametrize("net", ["a", [nn.Linear(2, 2)], nn.Linear])
def test_what_is_no_net_is_not_calibrated(net):
    with pytest.raises(ValueError, match=r"is a torch.nn.Module, got a (str|list|type)"):
        Calibrated(net)


def test_a_net_that_answers_with_something_else_is_said():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    net = Calibrated(Pair(4, 7))
    for call in (net, lambda x: net.fit(x, [0, 1, 2], "validation")):
        with pytest.raises(ValueError, match="the net answers with a tuple, and logits are one"):
            call(torch.zeros(3, 4))


def module():
    torch.manual_seed(0)
    return Calibrated(nn.Sequential(nn.Linear(4, 7), nn.BatchNorm1d(7), nn.Dropout(0.5)))


def test_a_calibrated_net_fits_in_eval_mode_and_answers_after_its_temperature():
    net, x = module().double(), 5 * torch.randn(64, 4).double()
    with torch.no_grad():
        net(x)  # (so that the norm has statistics)
        y = torch.where(torch.arange(64) % 4 > 0, net.eval()(x).argmax(-1), 0)
    before = copy.deepcopy(net.net.state_dict())
    net.train()
    t = net.fit(x, y, "validation", batch=10)
    assert net.training
    assert net.net[2].training
    assert all(torch.equal(v, before[k]) for k, v in net.net.state_dict().items())
    net.eval()
    logp = torch.log_softmax(net.net(x).double(), -1)
    assert t == net.temperature
    # (in batches of another size logits are other by roundings, T by some square roots of them)
    assert t == pytest.approx(temperature(logp, y, "validation"), rel=1e-6)
    assert (net(x) - tempered(logp, t)).abs().max() <= near(logp[None])
    assert f"temperature={t:.4g}" in repr(net)


def test_the_temperature_is_saved_with_the_weights():
    net, other = Calibrated(nn.Linear(4, 7), 2.5), Calibrated(nn.Linear(4, 7))
    other.load_state_dict(net.state_dict())
    assert other.temperature == copy.deepcopy(net).temperature == 2.5
    assert net.float().temperature == 2.5
    assert {name for name, _ in net.named_parameters()} == {"net.weight", "net.bias"}
