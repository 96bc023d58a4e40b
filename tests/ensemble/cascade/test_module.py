"""A cascade of nets that run: it answers as stored answers say, and asks no more than it must."""

import copy

import pytest
import torch
from torch import nn

from ensemble import Cascade, Ensemble, pooled
from ensemble.cascade import Rule, answered, spent
from ensemble.checks import log_probabilities
from harness import cost
from harness.exits import attach
from harness.result.identity import apart
from tests.ensemble.draws import near

X = 2 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).double()


class Members(nn.Module):
    """What this package takes to be an ensemble: a net with `nets` that says how it combines."""

    combine, weights = "soft", None

    def __init__(self, nets):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def members(self, x):
        return torch.stack([net(x) for net in self.nets])

    def forward(self, x):
        return pooled(torch.stack([torch.log_softmax(net(x), -1) for net in self.nets]))


def linear():
    return nn.Linear(6, 4)


def exits():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 4))
    return attach(net, (1, 3), (6,), 4, "linear")


def links():
    torch.manual_seed(1)
    return {
        "nets": [linear(), linear(), nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4))],
        "exits": [exits()],
        "ensemble": [Members([linear(), linear(), exits()])],
        "chain": [linear(), exits(), Members([linear(), linear()])],
    }


QUESTIONS = {"nets": 3, "exits": 3, "ensemble": 5, "chain": 6}
RULES = {
    "averaged": Rule(0.6),
    "replaced": Rule(0.6, "replace", "entropy"),
    "agreed": Rule(agree=2, combine="hard"),
    "all": Rule(1.0),
    "first": Rule(0.0),
}


def cascade(kind, rule=RULES["averaged"]):
    net = Cascade(links()[kind], shape=(6,)).double().eval()
    with torch.no_grad():
        for p in net.parameters():
            p *= 2  # (so that some samples are sure early and some are not)
    net.rule = rule
    return net


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", QUESTIONS)
@torch.no_grad()
def test_nets_that_run_are_their_stored_answers(kind, rule):
    net = cascade(kind, RULES[rule])
    found, logp = net.ask(X), net.record(X, 7)
    assert net.questions == len(logp) == QUESTIONS[kind]
    made = answered(logp, net.rule)
    assert torch.equal(found.asked, made.asked)
    assert apart(found.logp, made.logp) <= near(logp)
    assert apart(found.score, made.score) <= near(logp)
    assert torch.equal(net(X), found.logp)


@torch.no_grad()
def test_exits_are_asked_as_forward_exits_answers():
    net = cascade("exits")
    made = log_probabilities(net.links[0].forward_exits(X))
    assert (net.record(X) - made).abs().max() <= near(made)
    early = net.links[0].early(X, 0.6)
    net.rule = Rule(0.6, "replace")
    found = net.ask(X)
    assert torch.equal(found.asked - 1, early.exit)
    assert (found.score - early.score).abs().max() <= near(made)


@pytest.mark.parametrize("kind", QUESTIONS)
@torch.no_grad()
def test_every_layer_reads_only_who_is_undecided(kind):
    net, macs = cascade(kind), []
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda m, x, _: macs.append(len(x[0]) * m.weight.numel()))
    asked = net.ask(X).asked
    assert len(asked.unique()) > 1
    assert sum(macs) == spent(asked, net.macs())["total"]


def test_costs_are_those_of_the_links():
    net = cascade("chain")
    first, second, third = net.links
    assert net.macs()[0] == cost.total(first, (6,)).macs
    assert sum(net.macs()[1:4]) == second.costs()[-1].macs
    assert net.macs()[1] == second.costs()[0].macs
    assert net.macs()[4:] == [cost.total(one, (6,)).macs for one in third.nets]
    whole = cost.total(net, (6,))
    assert whole.macs == sum(net.macs())
    assert whole.nonzeros == sum(cost.total(link, (6,)).nonzeros for link in net.links)


def test_the_shape_is_known_from_exits_or_asked_for():
    net = cascade("nets")
    net.shape = None
    with pytest.raises(ValueError, match=r"say its shape, Cascade\(..., shape=\(784,\)\)"):
        net.macs()
    assert len(net.costs((6,))) == 3
    alone = Cascade([exits()])
    assert len(alone.macs()) == 3


@torch.no_grad()
def test_small_batches_are_answered():
    net = cascade("chain")
    whole = net.ask(X)
    one = net.ask(X[:1])
    assert one.asked.tolist() == whole.asked[:1].tolist()
    assert net(X[:0]).shape == (0, 4)


@torch.no_grad()
def test_a_link_that_is_never_reached_is_never_run():
    class Refuses(nn.Module):
        def forward(self, x):
            raise AssertionError("asked")

    net = Cascade([linear(), Refuses()], thresholds=0.0, shape=(6,)).double().eval()
    assert net.ask(X).asked.tolist() == [1] * len(X)


@torch.no_grad()
def test_pictures_keep_their_memory_layout():
    seen = []

    class Looks(nn.Conv2d):
        def forward(self, x):
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x).mean((2, 3))

    torch.manual_seed(0)
    net = Cascade([Looks(3, 4, 3), Looks(3, 4, 3)], thresholds=0.3, shape=(3, 8, 8)).eval()
    found = net.ask(torch.randn(9, 3, 8, 8).contiguous(memory_format=torch.channels_last))
    assert set(found.asked.tolist()) == {1, 2}
    assert seen == [True, True]


def test_a_net_in_training_is_refused():
    with pytest.raises(ValueError, match="in training leaves nobody out: call eval"):
        cascade("nets").train()(X)


def test_links_of_other_classes_are_refused():
    net = Cascade([linear(), nn.Linear(6, 5)], thresholds=1.0).double().eval()
    for call in (net, net.record):
        with pytest.raises(
            ValueError, match="question 1 is answered in 5 classes, question 0 in 4"
        ):
            call(X)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (dict(links=[]), "no links"),
        (dict(thresholds=1.5), r"a threshold in \[0, 1\], got 1.5; 0 lets"),
        (dict(thresholds="a"), r"a threshold in \[0, 1\], got 'a'"),
        (dict(thresholds=None), r"a threshold in \[0, 1\], got None"),
        (dict(thresholds=(0.5, 1.5)), "for each of 2 links before the last"),
        (dict(shape=64), r"shape of one input, such as \(784,\); got 64"),
        (dict(links=[linear(), linear]), "link 1 is a torch.nn.Module, got a function"),
        (dict(answer="replace", weights=(1, 2, 3)), 'weights are for answer="average"'),
        (dict(thresholds=(0.5,)), "each of 2 links before the last"),
        (dict(agree=4), "4 of 3 links cannot agree"),
        (dict(weights=(1, 2)), "3 links need as many weights"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_at_once(words, error):
    with pytest.raises(ValueError, match=error):
        Cascade(**{"links": [linear(), linear(), linear()], **words})


@pytest.mark.parametrize("answer", ["average", "replace"])
def test_an_answer_that_is_nan_stops_and_says_whose_it_is(answer):
    x = X.clone()
    x[7, 2] = torch.nan
    net = Cascade([linear(), linear()], answer=answer).double().eval()
    with pytest.raises(ValueError, match=r"question 0 of 2 answered NaN because .*: sample 7 is"):
        net(x)
    net.links[1].bias.data[0] = torch.nan
    net.rule = Rule(1.0, answer)
    with pytest.raises(ValueError, match="question 1 of 2 answered NaN to sample 0: look at that"):
        net(X)


def test_a_link_that_answers_with_something_else_is_named():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    net = Cascade([linear(), Pair(6, 4)], thresholds=1.0).double().eval()
    with pytest.raises(ValueError, match="question 1 answers with a tuple, and logits are one"):
        net(X)


def test_options_of_a_fit_are_known_or_said():
    with pytest.raises(ValueError, match="unknown option 'los': did you mean 'loss'"):
        cascade("nets").fit(X, None, "validation", los=0.1)


def test_fitted_thresholds_are_set_saved_and_loaded():
    net = cascade("nets", Rule(answer="replace"))
    x = torch.randn(900, 6, generator=torch.Generator().manual_seed(5)).double()
    y = net.record(x)[-1].argmax(-1)
    found = net.fit(x, y, "validation", loss=0.3)
    assert net.rule == found.rule
    assert found.rule.answer == "replace"
    assert found.loss.bound <= 0.3
    assert found.spent["mean"] < sum(net.macs())
    other = cascade("nets")
    assert other.rule != net.rule
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    assert other.rule == net.rule
    assert torch.equal(other(X), net(X))
    assert str(net.rule) in repr(net)
    for split in ("train", "test"):
        with pytest.raises(ValueError, match=f"thresholds cannot be fitted on '{split}'"):
            net.fit(x, y, split)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_link_that_answers_with_probabilities_is_warned_of(which):
    """Their log-softmax is nearly flat, so that nobody would ever be sure."""
    links: list = [linear().double() for _ in range(3)]
    links[which] = nn.Sequential(links[which], nn.Softmax(-1))
    net = Cascade(links, shape=(6,)).eval()
    with pytest.warns(UserWarning, match="these logits look like probabilities"):
        net.record(X)


def test_a_rule_of_another_chain_is_not_loaded():
    state = Cascade([linear(), linear(), linear()], thresholds=(0.5, 0.6)).state_dict()
    other = Cascade([linear(), linear()])
    with pytest.raises(ValueError, match="each of 1 links before the last"):
        other.set_extra_state(state["_extra_state"])


def test_the_state_is_plain_enough_for_a_safe_load(tmp_path):
    net = Cascade([linear(), linear(), linear()], thresholds=(0.5, 0.6), weights=(1, 2, 3))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = Cascade([linear(), linear(), linear()])
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert other.rule == net.rule


@pytest.mark.parametrize(
    ("own", "rule", "said"),
    [
        (dict(weights=[1, 2, 30]), {}, r"its weights \[1.0, 2.0, 30.0\] are not the cascade's"),
        (dict(combine="geometric"), {}, "it combines by 'geometric', the cascade by 'soft'"),
    ],
)
def test_an_ensemble_with_a_rule_of_its_own_is_not_silently_averaged_by_another(own, rule, said):
    whole = Ensemble([linear() for _ in range(3)], **own).eval().double()
    with pytest.raises(ValueError, match=f"link 0 is an ensemble.*{said}.*Sequential"):
        Cascade([whole], 1.0, **rule)
    asked = Cascade([nn.Sequential(whole)], 1.0).eval()  # one question
    torch.testing.assert_close(asked(X), whole(X))
    same = Cascade([whole], 1.0, combine=whole.combine, weights=whole.weights).eval()
    torch.testing.assert_close(same(X), whole(X))


def test_a_net_whose_parts_are_called_nets_is_asked_as_it_is():
    class Difference(nn.Module):
        def __init__(self):
            super().__init__()
            self.nets = nn.ModuleList([linear(), linear()]).double()

        def forward(self, x):
            return 3 * self.nets[0](x) - self.nets[1](x)

    net = Difference()
    asked = Cascade([net], 1.0).eval()
    assert asked.questions == 1
    torch.testing.assert_close(asked(X), net(X).log_softmax(-1))


def test_the_state_of_a_longer_chain_is_refused_with_both_numbers():
    state = Cascade([linear() for _ in range(3)]).state_dict()
    with pytest.raises(ValueError, match=r"a state of 3 links .* into a cascade of 2"):
        Cascade([linear(), linear()]).load_state_dict(state)


def test_one_sample_alone_is_told_of_the_axis_that_it_lacks():
    net = Cascade([nn.Linear(4, 3), nn.Linear(4, 3)]).eval()
    with pytest.raises(
        ValueError, match=r"question 0 is answered with shape \(3,\).*give x\[None\]"
    ):
        net(torch.zeros(4))
