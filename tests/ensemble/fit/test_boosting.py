"""Nets in boosting."""

import numpy as np
import pytest
import torch
from torch import nn

from ensemble import Boosting
from ensemble.boosting.course import Course
from ensemble.fit import boosting as boosted
from ensemble.fit.bagging import resampled
from ensemble.fit.samples import answers
from tests.ensemble.fit.tasks import CLASSES, INPUTS, dense, normed, parameters, task


def boosting(factory=dense, members=3, **rest):
    return Boosting(factory, *task(), members=members, **{"epochs": 2, "batch_size": 20, **rest})


@pytest.mark.parametrize("rule", ["samme", "iddl"])
@pytest.mark.parametrize("weights", ["loss", "resample", "repeat"])
def test_errors_and_says_are_those_of_the_rule_on_the_members_answers(rule, weights):
    going = boosting(normed, rule=rule, weights=weights, learning_rate=0.5)
    rows = [row for row in going if "alpha" in row]
    x, y = task()
    twin = Course(np.ones(90), CLASSES, 3, rule, 0.5)
    for net, row in zip(going.nets, rows, strict=True):
        twin.begin()
        twin.end((answers(net, x).argmax(1) != y).numpy())
        assert row["alpha"] == twin.alphas[-1]
        assert row["error"] == twin.errors[-1]
        assert row["effective_sample"] == twin.effective[-1]
    assert going.ended == "all 3 members are there"
    assert [row["member"] for row in rows] == [0, 1, 2]


def test_the_ways_to_use_weights_differ_from_the_second_member_on():
    nets = {how: boosting(weights=how, learning_rate=1.0).fit() for how in ("loss", "repeat")}
    a, b = (nets[how] for how in nets)
    assert not torch.equal(parameters(a[1:2]), parameters(b[1:2]))
    once = boosting(weights="repeat", shuffle=True).fit()
    assert torch.equal(parameters(nets["loss"][:1]), parameters(once[:1]))  # all weights are alike


def test_the_published_rule_takes_twice_the_steps_from_the_second_member_on():
    counts = []

    def counted(parameters):
        counts.append(0)
        optimizer = torch.optim.SGD(parameters, 0.1)

        def count(*_):
            counts[-1] += 1

        optimizer.register_step_post_hook(count)
        return optimizer

    boosting(rule="iddl", weights="repeat", learning_rate=1.0, optimizer=counted, epochs=4).fit()
    assert counts == [20, 40, 40]


def test_it_says_how_far_it_is():
    going = boosting()
    assert repr(going) == "Boosting, 0 of 3 members, not at its end"
    going.fit()
    assert repr(going) == "Boosting, 3 of 3 members, all 3 members are there"


class Same(nn.Module):
    """A net that always says the same class, whatever it learns."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        first = torch.tensor([1.0, 0, 0], dtype=torch.float64)
        return first + 0 * self.weight * x[:, :1]


def test_a_first_member_at_chance_is_an_error_in_words():
    x, y = task()
    with pytest.raises(ValueError, match="first member is no better than chance"):
        # (of level classes one is guessed: two thirds are wrong, or a rounding less)
        Boosting(Same, x[1:], y[1:], members=3, epochs=1).fit()


class Mistaken(Same):
    """A net that takes each class for the next one."""

    def forward(self, x):
        return (x[:, :CLASSES] + 0 * self.weight).roll(1, 1)


def test_a_later_member_at_chance_is_dropped_and_ends_it():
    nets = [dense(), Mistaken(), dense()]
    going = boosting(lambda: nets.pop(0))
    rows = list(going)
    assert len(going.nets) == 1
    assert "no better than chance, and was dropped" in going.ended
    assert rows[-1]["dropped"] == going.ended
    assert len(nets) == 1


def test_a_perfect_member_ends_it():
    x, y = task()
    far = torch.cat([x, 50 * nn.functional.one_hot(y, CLASSES).double()], 1) / 20
    make = lambda: nn.Linear(INPUTS + CLASSES, CLASSES).double()  # noqa: E731
    going = Boosting(make, far, y, members=3, epochs=20)
    assert len(going.fit()) == 1
    assert going.course.alphas == [1.0]
    assert going.ended == "member 0 made no error"


def spoilt():
    net = dense()
    with torch.no_grad():
        net[0].weight.fill_(torch.nan)
    return net


def test_a_nan_member_is_named_and_stops_it_or_is_left_out():
    nets = [dense(), spoilt()]
    going = boosting(lambda: nets.pop(0))
    with pytest.raises(ValueError, match="member 1: its loss became nan at step 1 of epoch 1"):
        going.fit()
    nets = [dense(), spoilt(), dense()]
    going = boosting(lambda: nets.pop(0), nan="leave out")
    with pytest.warns(UserWarning, match=r"member 1: .* left out"):
        assert len(going.fit()) == 2
    assert going.kept == [0, 2]
    assert going.ended == "1 of 3 members were left out"


def test_only_nan_members_are_an_error():
    with pytest.warns(UserWarning, match="member"), pytest.raises(ValueError, match="none of 2"):
        boosting(spoilt, 2, nan="leave out").fit()


def test_a_state_after_a_left_out_member_is_resumed():
    first = boosting(nan="leave out", members=4)
    rows = iter(first)
    for _ in range(3):
        next(rows)
    with torch.no_grad():
        first.group.net[0].weight.fill_(torch.nan)
    with pytest.warns(UserWarning, match="member 1"):
        next(rows)
    again = boosting(nan="leave out", members=4)
    again.load_state_dict(first.state_dict())
    for going in (first, again):
        going.fit()
    assert first.kept == again.kept == [0, 2, 3]
    assert torch.equal(parameters(first.nets), parameters(again.nets))


def test_ctrl_c_while_a_member_is_judged_costs_no_epoch(monkeypatch):
    going, whole = boosting(), boosting()
    right = boosted.answers
    answered = []

    def interrupted(net, x):
        answered.append(len(x))
        if answered.count(90) == 2 and len(x) == 90:  # (single samples only try the shape)
            raise KeyboardInterrupt
        return right(net, x)

    monkeypatch.setattr(boosted, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        going.fit()
    again = boosting()
    again.load_state_dict(going.state_dict())
    monkeypatch.undo()
    for each in (going, again):
        assert torch.equal(parameters(each.fit()), parameters(whole.fit()))
        assert each.course.alphas == whole.course.alphas


def test_sample_weights_move_what_is_learned_and_are_checked():
    w = np.linspace(0, 1, 90)
    assert not torch.equal(
        parameters(boosting(sample_weight=w).fit()), parameters(boosting().fit())
    )
    with pytest.raises(ValueError, match=r"90 samples need a weight each"):
        boosting(sample_weight=w[1:])
    with pytest.raises(ValueError, match="all sample weights are 0"):
        boosting(sample_weight=0 * w)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"factory": lambda: nn.Linear(INPUTS, 4).double()},
            r"shape \(1, 4\), and y has 3 classes",
        ),
        ({"weights": "los"}, "unknown weights 'los': did you mean 'loss'"),
        ({"nan": "go"}, "unknown nan 'go'"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
    ],
)
def test_arguments_that_are_none_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        boosting(**change).fit()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, got 1.5"),
        ({"members": 1.5}, "members must be a whole number of at least 1, got 1.5"),
        ({"learning_rate": "a"}, "learning_rate is a number above 0, got 'a'"),
        ({"factory": dense()}, "made anew by a function, .* got a Sequential"),
        ({"momentum": 0.5}, "unknown option 'momentum': .*for the optimizer"),
        ({"shufle": True}, "unknown option 'shufle': did you mean 'shuffle'"),
    ],
)
def test_arguments_that_are_none_are_refused_before_anything_is_trained(change, said):
    with pytest.raises(ValueError, match=said):
        boosting(**change)


def test_classes_with_a_gap_are_refused():
    x, y = task()
    with pytest.raises(ValueError, match=r"classes \[0, 2\]: number them 0 to 1"):
        Boosting(dense, x[y != 1], y[y != 1], members=2, epochs=1)


def test_another_count_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="state of 3 members, and here are 4"):
        boosting(members=4).load_state_dict(boosting().state_dict())
    with pytest.raises(ValueError, match="it lacks members, course, nets"):
        boosting().load_state_dict({})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rule": "iddl"}, "rule iddl there, samme here"),
        ({"learning_rate": 0.5, "epochs": 3}, "epochs 3 there, 2 here; learning_rate 0.5 there"),
        ({"sample_weight": torch.arange(90)}, "sample_weight has other values"),
    ],
)
def test_the_state_of_another_boosting_is_refused_with_what_differs(change, said):
    with pytest.raises(ValueError, match=rf"another training \({said}"):
        boosting().load_state_dict(boosting(**change).state_dict())


@pytest.mark.filterwarnings("ignore:none of 100 draws")
def test_draws_hold_every_class_while_the_weights_let_them():
    y = torch.zeros(90, dtype=torch.int64)
    y[0], y[1] = 1, 2
    kept = [resampled(y, torch.full((90,), 1 / 90), seed) for seed in range(20)]
    assert all(len(y[index].unique()) == 3 for index in kept)


def test_a_class_that_no_draw_holds_is_said():
    y = torch.tensor([0] * 50 + [1] * 49 + [2])
    w = torch.ones(100)
    w[-1] = 1e-9
    with pytest.warns(UserWarning, match=r"none of 100 draws .* all 3 classes.*without \[2\]"):
        index = resampled(y, w, 0)
    assert sorted(y[index].unique().tolist()) == [0, 1]
    w[-1] = 0
    assert len(resampled(y, w, 0)) == 100  # (nobody asks for it)


def test_members_that_begin_alike_are_said():
    def alike():
        torch.manual_seed(0)
        return dense()

    with pytest.warns(UserWarning, match="members begin with the same weights"):
        boosting(alike, members=2, epochs=1).fit()
