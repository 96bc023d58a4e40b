"""Independent and bagged members in training."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from ensemble import Boosting, Ensemble, Training, made
from ensemble.fit.bagging import bootstrap
from ensemble.fit.samples import member_seed
from ensemble.fit.settings import MOST
from harness.record.checkpoint import load_checkpoint
from tests.ensemble.fit.tasks import CLASSES, INPUTS, dense, normed, parameters, task
from tests.python import ROOT


def training(nets, epochs=2, **rest):
    return Training(nets, *task(), **{"epochs": epochs, "batch_size": 20, **rest})


def test_members_start_from_numbers_of_their_own_and_leave_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    nets = made(dense, 3, seed=4)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(parameters(nets[1:]), parameters(made(dense, 2, seed=4, first=1)))
    assert not torch.equal(parameters(nets[:1]), parameters(nets[1:2]))
    for count in (0, 1.5):
        with pytest.raises(ValueError, match=f"count must be a whole number .* got {count}"):
            made(dense, count)


def test_a_stack_gives_a_row_per_member_and_epoch_and_a_loop_one_at_a_time():
    stack, loop = training(made(dense, 3)), training(made(normed, 3))
    assert stack.looped == ""
    assert loop.looped == "members have batch norm"
    places = lambda found: [[(r["member"], r["epoch"]) for r in rows] for rows in found]  # noqa: E731
    assert places(stack) == [[(m, e) for m in range(3)] for e in (1, 2)]
    assert places(loop) == [[(m, e)] for m in range(3) for e in (1, 2)]


def test_it_says_how_far_it_is():
    stack, loop = training(made(dense, 3)), training(made(normed, 3))
    for going in (stack, loop):
        next(iter(going))
    assert repr(stack) == "Training of 3 members, 1 of 2 epochs, as one stack"
    said = "Training of 3 members, 1 of 6 epochs, one by one, members have batch norm"
    assert repr(loop) == said


def test_members_learn():
    x, y = task()
    for net in training(made(dense, 3), epochs=20).fit():
        assert (net(x).argmax(1) == y).double().mean() > 0.8


def test_members_have_orders_of_their_own():
    nets = made(dense, 2)
    nets[1].load_state_dict(nets[0].state_dict())
    training(nets).fit()
    assert not torch.equal(parameters(nets[:1]), parameters(nets[1:]))


def test_a_bagged_member_is_one_that_is_given_its_bootstrap():
    (bagged,) = training(made(dense, 1), bootstrap=True).fit()
    index, _ = bootstrap(task()[1], torch.ones(90), member_seed(0, 0))
    (given,) = training(made(dense, 1), index=index[None]).fit()
    assert torch.equal(parameters([bagged]), parameters([given]))
    with pytest.raises(ValueError, match="leave index out"):
        training(made(dense, 1), index=index[None], bootstrap=True)


def test_bootstraps_that_were_drawn_anew_are_said():
    y = torch.zeros(60, dtype=torch.int64)
    y[7] = 1
    with pytest.warns(UserWarning, match="bootstraps without some class were drawn anew"):
        found = Training(made(dense, 9), task()[0][:60], y, 1, bootstrap=True)
    assert found.redrawn
    assert set(found.redrawn) < set(range(9))


def test_weights_are_per_sample_or_per_member_and_sample():
    w = torch.rand(90, dtype=torch.float64)
    one = training(made(dense, 2), sample_weight=w).fit()
    two = training(made(dense, 2), sample_weight=torch.stack([w, 2 * w])).fit()
    torch.testing.assert_close(parameters(one), parameters(two), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="2 members need as many rows of weights, got 3"):
        training(made(dense, 2), sample_weight=torch.ones(3, 90))


def test_a_sample_of_weight_0_is_as_good_as_its_target():
    x, y = task()
    other = y.clone()
    other[:5] = (y[:5] + 1) % CLASSES
    w = torch.ones(90)
    w[:5] = 0
    a, b = (Training(made(dense, 1), x, t, 2, sample_weight=w).fit() for t in (y, other))
    assert torch.equal(parameters(a), parameters(b))


def spoilt(count, bad, make=dense):
    nets = made(make, count)
    with torch.no_grad():
        nets[bad][-1].weight.fill_(torch.nan)
    return nets


@pytest.mark.parametrize("make", [dense, normed])
def test_a_member_that_becomes_nan_is_named_and_stops_all_or_is_left_out(make):
    bad = lambda: spoilt(3, 1, make)  # noqa: E731
    with pytest.raises(
        ValueError, match=r"member 1: its loss became nan at step 1 of epoch 1; lower"
    ):
        training(bad()).fit()
    going = training(bad(), nan="leave out")
    with pytest.warns(UserWarning, match=r"member 1: .* left out"):
        left = going.fit()
    assert set(going.failed) == {1}
    fine = training(made(make, 3)).fit()
    torch.testing.assert_close(
        parameters(left), parameters([fine[0], fine[2]]), rtol=1e-12, atol=1e-12
    )


def test_a_member_that_failed_before_the_state_was_saved_stays_left_out():
    first = training(spoilt(3, 1), nan="leave out")
    with pytest.warns(UserWarning, match="member 1"):
        next(iter(first))
    again = training(made(dense, 3), nan="leave out")
    again.load_state_dict(first.state_dict())
    assert len(again.fit()) == 2


def test_none_left_is_an_error():
    with pytest.warns(UserWarning, match="member 0"), pytest.raises(ValueError, match="none of 1"):
        training(spoilt(1, 0), nan="leave out").fit()


def test_another_count_or_another_way_to_train_is_refused():
    state = training(made(dense, 3)).state_dict()
    with pytest.raises(ValueError, match="state of 3 members, and here are 2"):
        training(made(dense, 2)).load_state_dict(state)
    with pytest.raises(ValueError, match="state of 1 groups of members, and here are 3"):
        training(made(dense, 3), together=False).load_state_dict(state)
    with pytest.raises(ValueError, match="at least one member, got none"):
        training([])
    for nothing in ({}, {"members": 3, "groups": []}):
        with pytest.raises(ValueError, match=r"it lacks .*failed: give what its state_dict\(\)"):
            training(made(dense, 3)).load_state_dict(nothing)
    with pytest.raises(ValueError, match="unknown nan 'drop'"):
        training(made(dense, 1), nan="drop")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 3}, "epochs 3 there, 2 here"),
        ({"batch_size": 10, "seed": 4}, "batch_size 10 there, 20 here; seed 4 there, 0 here"),
        ({"sample_weight": torch.ones(90)}, "sample_weight other values there, None here"),
        ({"x": task()[0] + 0.01}, "x has other values"),
        ({"y": task()[1].flip(0)}, "y has other values"),
        ({"x": task()[0][:60], "y": task()[1][:60]}, "x has other values; y has other values"),
    ],
)
def test_the_state_of_another_training_is_refused_with_what_differs(change, said):
    x, y = task()
    other = {"x": x, "y": y, "epochs": 2, "batch_size": 20, **change}
    state = Training(made(dense, 2), **other).state_dict()
    with pytest.raises(ValueError, match=rf"another training \({said}"):
        training(made(dense, 2)).load_state_dict(state)


def test_samples_that_another_machine_has_rounded_otherwise_are_the_same():
    x, y = task()
    state = training(made(dense, 2)).state_dict()
    again = Training(made(dense, 2), x * (1 + 1e-6), y, 2, batch_size=20)
    again.load_state_dict(state)
    assert len(again.settings["x"]) == MOST < x.numel()


NET = dense()
MEMBERS = {
    "a net": (dense(), "a list of nets or an Ensemble, got one Sequential: made"),
    "a class": (nn.Linear, "got a function: made"),
    "a net twice": ([NET, NET], "member 1 is member 0 itself"),
    "no net": ([NET, 3], "member 1 is no torch.nn.Module, got an int"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_what_are_no_members_is_said(name):
    nets, said = MEMBERS[name]
    with pytest.raises(ValueError, match=said):
        training(nets)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, got 1.5"),
        ({"epochs": "3"}, "at least 1, got '3'"),
        ({"batch_size": 1.5}, "batch_size must be a whole number of at least 1, got 1.5"),
        ({"lr": 0.1}, "unknown option 'lr': .*lr is for the optimizer: optimizer= is a function"),
        ({"bootstap": True}, "unknown option 'bootstap': did you mean 'bootstrap'"),
        ({"optimizer": "adam"}, "optimizer= is a function that .* got a str$"),
        ({"optimizer": torch.optim.SGD(NET.parameters())}, "makes one .* got a SGD$"),
        ({"optimizer": lambda parameters: None}, "this one gave a NoneType"),
        ({"index": torch.full((2, 4), 90)}, "samples 90 to 90, and there are 0 to 89"),
        ({"index": torch.zeros(3, 4).long()}, r"each of 2 members, got shape \(3, 4\)"),
        ({"index": torch.zeros(2, 4)}, r"got shape \(2, 4\) of torch.float32"),
    ],
)
def test_options_that_are_none_are_said(options, said):
    with pytest.raises(ValueError, match=said):
        training(made(dense, 2), **options)


def test_index_may_be_lists():
    rows = [[1, 2, 3, 4]] * 2
    nets = [training(made(dense, 2), index=i).fit() for i in (rows, torch.tensor(rows))]
    assert torch.equal(*map(parameters, nets))


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (NET, "made anew by a function, .* got a Sequential"),
        (3, "got an int"),
        (lambda: None, "member 0 is no torch.nn.Module, got a NoneType"),
        (lambda: NET, "member 1 is member 0 itself"),
    ],
)
def test_what_makes_no_members_is_said(factory, said):
    with pytest.raises(ValueError, match=said):
        made(factory, 2)


def test_members_that_make_steps_in_a_way_of_their_own_are_looped_and_said():
    told = []

    class Counted:
        def __init__(self, net, optimizer, steps, seed):
            self.optimizer = optimizer
            told.append((steps, seed))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def step(self):
            self.optimizer.step()

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    plain, own = training(made(dense, 3), together=False), training(made(dense, 3), way=Counted)
    assert own.looped == "each makes its steps in a way of its own"
    # (5 batches an epoch, 2 epochs)
    assert told == [(10, seed) for seed in own.seeds]
    assert torch.equal(parameters(own.fit()), parameters(plain.fit()))


@pytest.mark.parametrize("together", [True, False])
def test_members_that_do_not_answer_about_the_classes_of_y_are_refused(together):
    x, y = task()
    both = made(dense, 2)
    with pytest.raises(ValueError, match=f"y has class {CLASSES}, and the members answer about"):
        Training(both, x, y + 1, 1, together=together)
    other = nn.Linear(INPUTS, CLASSES + 1).double()
    with pytest.raises(
        ValueError, match=rf"member 2 answers one sample with shape \(1, {CLASSES + 1}\)"
    ):
        Training([*both, other], x, y, 1, together=together)
    with pytest.raises(ValueError, match=r"member 0 answers one .* shape \(1,\), not with logits"):
        Training([nn.Sequential(dense(), Last())], x, y, 1)
    with pytest.raises(ValueError, match="a member answers with a tuple, and logits are one"):
        Training([nn.Sequential(dense(), Pair())], x, y, 1)


class Pair(nn.Module):
    """Answers with something else beside."""

    def forward(self, x):
        return x, x


class Last(nn.Module):
    """Gives up the axis of classes."""

    def forward(self, x):
        return x[:, 0]


def test_a_saved_state_is_a_copy_that_training_does_not_move():
    going = training(made(dense, 2), epochs=3)
    rows = iter(going)
    next(rows)
    state = going.state_dict()
    before = str(state)
    next(rows)
    assert str(state) == before
    again = training(made(dense, 2), epochs=3)
    again.load_state_dict(state)
    again.fit()
    assert str(state) == before


INTERRUPTED = {"left": 0}


class Interrupted(nn.Sequential):
    """A net in which somebody presses Ctrl-C, once."""

    def forward(self, x):
        if self.training:
            INTERRUPTED["left"] -= 1
            if not INTERRUPTED["left"]:
                raise KeyboardInterrupt
        return super().forward(x)


def test_after_ctrl_c_in_member_5_of_9_it_goes_on_there():
    make = lambda: Interrupted(nn.Linear(INPUTS, CLASSES)).double()  # noqa: E731
    going = training(made(make, 9), together=False)
    INTERRUPTED["left"] = (
        5 * 10 + 7
    )  # 5 batches an epoch, 2 epochs a member; the last of its 7 steps
    with pytest.raises(KeyboardInterrupt):
        going.fit()
    assert [group.epoch for group in going.groups] == [2] * 5 + [1] + [0] * 3
    nets = going.fit()
    assert torch.equal(parameters(nets), parameters(training(made(make, 9), together=False).fit()))


KILLED = """
import os, signal, sys
from ensemble import Boosting
from ensemble.identities.training import dense, task
from harness.record.checkpoint import save_checkpoint
from pathlib import Path

going = Boosting(dense, *task(), members=4, epochs=2, learning_rate=.5, seed=3)
for row in going:
    save_checkpoint(Path(sys.argv[1]), going.state_dict())
    if row["member"] == row["epoch"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_in_mid_member_goes_on_bit_for_bit(tmp_path):
    file = tmp_path / "state.pt"
    argv = [sys.executable, "-c", KILLED, str(file)]
    assert subprocess.run(argv, cwd=ROOT, timeout=300).returncode < 0
    state = load_checkpoint(file)
    assert (state["tried"], state["group"]["epoch"]) == (1, 1)
    going, whole = (
        Boosting(dense, *task(), members=4, epochs=2, learning_rate=0.5, seed=3) for _ in range(2)
    )
    going.load_state_dict(state)
    assert torch.equal(parameters(going.fit()), parameters(whole.fit()))
    assert going.course.alphas == whole.course.alphas


def test_the_members_of_an_ensemble_learn_where_they_are():
    x, _ = task()
    net = Ensemble(dense, 3, seed=4)
    assert torch.equal(parameters(net.nets), parameters(made(dense, 3, seed=4)))
    before = net.eval()(x)  # (by now they may share the memory of a stack)
    training(net, seed=4).fit()
    alone = training(made(dense, 3, seed=4), seed=4).fit()
    assert not torch.equal(before, net.eval()(x))
    expected = torch.stack([one.eval()(x) for one in alone])
    torch.testing.assert_close(net.members(x), expected, rtol=1e-12, atol=1e-12)
