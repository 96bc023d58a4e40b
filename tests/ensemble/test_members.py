"""An ensemble is an ordinary module that answers for all its members."""

import copy
import pickle

import pytest
import torch
from torch import nn

from ensemble import Cascade, Ensemble, log_probabilities, pooled
from harness import cost


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def poisoned(count, *members):
    ensemble = Ensemble(net, count).eval()
    for m in members:
        ensemble.nets[m][0].bias.data[0] = torch.nan
    return ensemble


X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rule", ["soft", "geometric", "hard", "weighted"])
def test_it_answers_the_log_of_the_pooled_probabilities(rule):
    weights = [1.0, 2.0, 0.5] if rule == "weighted" else None
    ensemble = Ensemble(net, 3, combine=rule, weights=weights).eval()
    logp = torch.stack([torch.log_softmax(each(X), -1) for each in ensemble.nets])
    torch.testing.assert_close(ensemble(X), pooled(logp, rule, weights))
    assert ensemble(X).dtype == torch.float32


def test_members_answer_logits_that_can_be_scored():
    ensemble = Ensemble(net, 4).double()
    assert log_probabilities(ensemble.members(X.double())).shape == (4, 5, 3)


def test_shorter_types_are_pooled_in_float32():
    assert Ensemble(net, 2).bfloat16().eval()(X.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("how", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_answers_the_same_and_is_separate(how):
    ensemble = Ensemble(net, 3).eval()
    before = ensemble(X).detach()  # (the members are slices of a stack now)
    other = how(ensemble)
    assert torch.equal(other(X), before)
    with torch.no_grad():
        other.nets[1][0].weight.zero_()
    assert torch.equal(ensemble(X), before)
    assert not torch.equal(other(X), before)


def test_a_state_is_loaded_before_any_call_and_after():
    saved = Ensemble(net, 3, combine="hard", seed=1).eval()
    fresh, used = Ensemble(net, 3, seed=2).eval(), Ensemble(net, 3, seed=3).eval()
    used(X)
    for ensemble in (fresh, used):
        ensemble.load_state_dict(saved.state_dict())
        assert torch.equal(ensemble(X), saved(X))
        assert ensemble.combine == "hard"


def test_weights_of_a_vote_are_saved_with_it():
    saved = Ensemble(net, 2, combine="weighted", weights=[0.25, 4.0])
    other = Ensemble(net, 2)
    other.load_state_dict(saved.state_dict())
    assert (other.combine, other.weights) == ("weighted", [0.25, 4.0])


@pytest.mark.parametrize("outer", [lambda e: e, nn.Sequential])
def test_a_state_of_another_count_is_refused_with_both_numbers(outer):
    with pytest.raises(ValueError, match=r"state of 3 members .* ensemble of 5"):
        outer(Ensemble(net, 5)).load_state_dict(outer(Ensemble(net, 3)).state_dict())


def test_it_moves_to_another_type_with_all_it_has():
    ensemble = Ensemble(net, 3).eval()
    ensemble(X)
    once = ensemble.double()(X.double())
    logp = torch.stack([torch.log_softmax(each(X.double()), -1) for each in ensemble.nets])
    torch.testing.assert_close(once, pooled(logp))


def test_a_cascade_asks_it_member_by_member():
    assert Cascade([Ensemble(net, 3), net()]).questions == 4


def test_it_costs_what_its_members_cost():
    ensemble = Ensemble([net(), nn.Linear(6, 3)])
    assert cost.total(ensemble, (6,)).macs == (6 * 8 + 8 * 3) + 6 * 3


def test_the_first_members_do_not_depend_on_how_many_there_are():
    few, many = Ensemble(net, 2, seed=7), Ensemble(net, 4, seed=7)
    for a, b in zip(few.parameters(), many.nets[:2].parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(many.nets[0][0].weight, many.nets[1][0].weight)


def test_making_members_leaves_the_callers_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Ensemble(net, 3)
    assert torch.equal(torch.rand(1), expected)


class Answers(nn.Module):
    """A net that answers with something else than a tensor."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.layer = kind, nn.Linear(6, 3)

    def forward(self, x):
        return self.kind([self.layer(x)])


ONE = net()
WRONG = {
    "nobody": (lambda: Ensemble([]), "no members"),
    "no count": (lambda: Ensemble(net), "how many members"),
    "count 0": (lambda: Ensemble(net, 0), "count=0"),
    "count True": (lambda: Ensemble(net, True), "count=True"),
    "another count": (lambda: Ensemble([net()], 2), "1 nets were given and count=2"),
    "a net": (lambda: Ensemble(net()), "one Sequential"),
    "twice": (lambda: Ensemble([ONE, net(), ONE]), "member 2 is member 0"),
    "one class": (lambda: Ensemble([nn.Linear(6, 1)] * 1)(X), r"two classes or more.* \(5, 1\)"),
    "one class each": (lambda: Ensemble(lambda: nn.Linear(6, 1), 2)(X), r"got shape \(2, 5, 1\)"),
    "a tuple": (lambda: Ensemble([Answers(tuple)])(X), "member 0 answers with a tuple, and logits"),
    "dicts": (lambda: Ensemble([net(), Answers(list)])(X), "member 1 answers with a list"),
    "an array": (lambda: Ensemble(net, 2)(X.numpy()), "a tensor, got an ndarray: torch.as_tensor"),
    "an array, alone": (lambda: Ensemble(net, 1)(X.numpy()), "a tensor, got an ndarray"),
    "double": (lambda: Ensemble(net, 2)(X.double()), r"inputs are torch.float64 and members torch"),
    "width": (lambda: Ensemble(net, 2)(X[:, :5]), r"cannot read inputs of shape \(5, 5\)"),
    "each": (
        lambda: Ensemble(net, 2).members(X[None], True),
        r"2 members need as many .* got 1 of",
    ),
    "shape": (lambda: Ensemble(net, 2).cost((6,), (3,)), r"such as \(1, 64\); got \(6,\)"),
    "no net": (lambda: Ensemble([net(), 3]), "member 1 is no torch.nn.Module, got an int"),
    "rule": (lambda: Ensemble(net, 2, combine="mean"), "mean"),
    "nan": (lambda: Ensemble(net, 2, nan="drop"), "drop"),
    "no weights": (lambda: Ensemble(net, 2, combine="weighted"), "needs weights"),
    "negative": (lambda: Ensemble(net, 2, weights=[1, -1]), "none negative"),
    "all zero": (lambda: Ensemble(net, 2, weights=[0, 0]), "not all 0"),
    "weights": (lambda: Ensemble(net, 2, weights=[1]), "2 finite numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_ensemble_is_refused_in_words(name):
    call, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_members_of_other_output_sizes_are_named():
    with pytest.raises(ValueError, match=r"member 1 .* \(5, 4\), member 0 of \(5, 3\)"):
        Ensemble([nn.Linear(6, 3), nn.Linear(6, 4)])(X)


def test_a_member_that_answers_nan_is_named_and_stops():
    with pytest.raises(ValueError, match="member 1 of 3 answered NaN"):
        poisoned(3, 1)(X)


def test_a_member_that_answers_nan_is_left_out_if_asked():
    ensemble = poisoned(3, 1)
    ensemble.nan = "leave out"
    rest = Ensemble([ensemble.nets[0], ensemble.nets[2]]).eval()
    with pytest.warns(UserWarning, match="member 1 of 3 answered NaN"):
        found = ensemble(X)
    torch.testing.assert_close(found, rest(X))
    with pytest.raises(ValueError, match=r"members \[0, 1\] of 2"):
        poisoned(2, 0, 1)(X)


@pytest.mark.parametrize("nan", ["stop", "leave out"])
def test_inputs_that_are_nan_are_to_blame(nan):
    x = X.clone()
    x[3, 0] = torch.nan
    ensemble = Ensemble(net, 2, nan=nan).eval()
    with pytest.raises(ValueError, match=r"because of these inputs: sample 3 .* 1 of 5 are not$"):
        ensemble(x)
    ensemble.nets[0][0].bias.data[0] = torch.nan  # (then it is not for them alone)
    with pytest.raises(ValueError, match=r"members \[0, 1\] of 2 answered NaN: look at that net$"):
        ensemble(x)


def test_nan_is_kept_in_training_or_if_asked():
    assert poisoned(2, 0).train()(X).isnan().all()
    ensemble = poisoned(2, 0)
    ensemble.nan = "keep"
    assert ensemble(X).isnan().all()


def test_one_member_is_itself_with_its_nan():
    assert poisoned(1, 0)(X).isnan().all()
    alone = Ensemble(net, 1).eval()
    assert torch.equal(alone(X), torch.log_softmax(alone.nets[0](X), -1))


def test_a_batch_of_one_and_of_none():
    ensemble = Ensemble(net, 3).eval()
    torch.testing.assert_close(ensemble(X[:1]), ensemble(X)[:1])
    assert ensemble(X[:0]).shape == (0, 3)
