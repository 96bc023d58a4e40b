"""Levels, branches and their training: what they hold, and what is refused in words."""

import pytest
import torch

import compress
from compress.identities.tickets import SEEDS, STEPS, course, data, net, start, trained
from compress.tickets.ladder import remaining
from harness.data import Data


def test_the_ladder_of_lenet_is_that_of_the_paper():
    sizes = {"fc1": 235_200, "fc2": 30_000, "out": 1_000}
    shares = [100 * remaining(level, sizes) for level in compress.ladder(sizes, 21)]
    paper = {3: 51.28, 7: 21.07, 9: 13.52, 15: 3.58, 18: 1.85, 20: 1.19}
    assert {k: round(shares[k], 2) for k in paper} == pytest.approx(paper, abs=0.02)


def test_a_round_leaves_at_least_one_weight():
    assert compress.ladder({"a": 1, "b": 2}, 40, 0.9, None)[-1] == {"a": 1, "b": 1}
    with pytest.raises(ValueError, match=r"1 - rate .* got 0"):
        compress.ladder({"a": 1}, 2, 1)
    with pytest.raises(ValueError, match=r"levels counts the dense one, .* got 0"):
        compress.ladder({"a": 1}, 0)


def test_a_round_takes_the_smallest_of_each_layer_and_seed():
    level = trained(start())
    after = compress.following(level)
    for name, mask in after.masks.items():
        for member, kept in zip(level.weights[name].abs(), mask, strict=True):
            assert member[kept].min() >= member[~kept].max()
    assert (after.number, after.branch, after.step) == (1, "same", 0)
    assert not any("bias" in name for name in after.masks)


def test_layers_can_have_rates_of_their_own():
    sizes = {"a": 100, "b": 100, "c": 100}
    assert compress.ladder(sizes, 2, {"a": 0.5, "b": 0.1})[1] == {"a": 50, "b": 90, "c": 90}
    assert compress.ladder(sizes, 2, {"a": 0.5, "b": 0, "c": 0.2}, None)[1]["c"] == 80
    with pytest.raises(ValueError, match=r"rate= says nothing of 'b': it has a"):
        compress.ladder(sizes, 2, {"a": 0.5})
    with pytest.raises(ValueError, match=r"1 - rate .* got 0"):
        compress.ladder(sizes, 2, {"a": 1, "b": 0})


def test_where_layers_compete_the_smallest_of_all_go():
    level = trained(start())
    after = compress.following(level, rate=0.3, scope="global")
    of = sum(level.sizes.values())
    for i in range(len(SEEDS)):
        kept = torch.cat([level.weights[n][i][m[i]].abs() for n, m in after.masks.items()])
        gone = torch.cat([level.weights[n][i][~m[i]].abs() for n, m in after.masks.items()])
        assert len(gone) == round(0.3 * of)
        assert kept.min() >= gone.max()
    again = compress.following(trained(after), rate=0.3, scope="global")
    assert not any((again.masks[n] & ~after.masks[n]).any() for n in after.masks)
    with pytest.raises(ValueError, match=r"unknown scope 'row'"):
        compress.following(level, scope="row")
    with pytest.raises(ValueError, match=r"one rate for all layers, which compete"):
        compress.following(level, rate={"0.weight": 0.1}, scope="global")


def test_weights_are_rewound_to_an_iteration_of_the_dense_nets():
    level = trained(start(), keep=(0, 4))
    after = compress.following(trained(compress.following(level, 4)), 4)
    assert (after.branch, after.step) == ("rewound", 4)
    short = trained(start(), iterations=4)
    assert all(torch.equal(after.start[n], short.weights[n]) for n in short.weights)
    rows = course(after).fit()
    assert [row["iteration"] for row in rows[0]] == [5, 10, STEPS]
    with pytest.raises(
        ValueError, match=r"iteration 7 .* was not kept \(kept: 0, 4\).*keep=\(7,\)"
    ):
        compress.following(level, 7)


def test_only_the_rate_is_rewound_where_that_is_asked_for():
    level = trained(start())
    after = compress.following(level, 6, "rate")
    assert (after.branch, after.step) == ("rate", 6)
    assert all(torch.equal(after.start[n], level.weights[n]) for n in level.weights)
    halved = course(after, schedule=lambda o: torch.optim.lr_scheduler.StepLR(o, 3))
    assert halved.optimizer.param_groups[0]["lr"] == pytest.approx(0.001)


def test_controls_have_the_counts_of_their_level():
    level = compress.following(trained(start()))
    nets = [net(seed + 20) for seed in SEEDS]
    new, random = (compress.branch(level, how, nets) for how in ("new", "random"))
    assert new.counts == random.counts == level.counts
    assert all(torch.equal(new.masks[n], level.masks[n]) for n in level.masks)
    assert all(not torch.equal(random.masks[n][0], random.masks[n][1]) for n in level.masks)
    again = compress.branch(level, "random", nets)
    assert all(torch.equal(random.masks[n], again.masks[n]) for n in level.masks)
    assert torch.equal(new.start["0.weight"][1], nets[1][0].weight)
    with pytest.raises(ValueError, match=r"unknown branch 'old'"):
        compress.branch(level, "old", nets)
    with pytest.raises(ValueError, match=r"a new net for each of 2 seeds, got 1"):
        compress.branch(level, "new", nets[:1])
    with pytest.raises(ValueError, match=r"other weights"):
        compress.branch(level, "new", [net(1, conv=True)] * 2)


def test_the_test_set_is_told_only_where_the_validation_loss_improves():
    for rows in course(start(), every=1).fit():
        best = float("inf")
        for row in rows:
            assert ("test_accuracy" in row) == (row["validation_loss"] < best)
            best = min(best, row["validation_loss"])
        found = compress.early_stop(rows)
        assert found["validation_loss"] == best
        assert "test_accuracy" in found


def test_of_equal_losses_the_first_stops_and_nan_never_does():
    rows = [
        {"iteration": k, "validation_loss": v} for k, v in enumerate([float("nan"), 2.0, 1.0, 1.0])
    ]
    assert compress.early_stop(rows)["iteration"] == 2
    with pytest.raises(ValueError, match=r"this seed has diverged"):
        compress.early_stop(rows[:1])


def test_a_level_is_read_back_as_it_was_written(tmp_path):
    level = compress.following(trained(start(), keep=(2,)), 2)
    level.save(tmp_path / "level.pt")
    again = compress.Level.load(tmp_path / "level.pt")
    assert (again.seeds, again.number, again.step, again.branch) == ([3, 4], 1, 2, "rewound")
    assert all(torch.equal(again.masks[n], level.masks[n]) for n in level.masks)
    with pytest.raises(FileNotFoundError, match=r"no level at"):
        compress.Level.load(tmp_path / "none.pt")
    compress.Masks({"a": torch.ones(2) > 0}).save(tmp_path / "masks.pt")
    with pytest.raises(ValueError, match=r"holds no level"):
        compress.Level.load(tmp_path / "masks.pt")


def test_the_ticket_of_a_seed_is_a_net_that_can_be_packed_and_frozen(tmp_path):
    level = compress.following(trained(start()))
    before = level.into(net(0), 4)
    assert torch.equal(before[0].weight, level.start["0.weight"][1] * level.masks["0.weight"][1])
    ticket = trained(level).into(net(0), 4)
    assert all(torch.equal(p, level.weights[n][1]) for n, p in ticket.state_dict().items())
    compress.freeze(ticket, level.masks_of(4))
    packed = compress.pack(ticket, tmp_path / "ticket", None)
    assert packed.patterns["0"].nonzeros == level.counts["0.weight"]
    with pytest.raises(ValueError, match=r"unknown seed of the level 0: there are 3, 4"):
        level.into(net(0), 0)
    with pytest.raises(ValueError, match=r"seed 3 of level 1 is of another architecture"):
        level.into(net(0, conv=True), 3)


def test_a_level_is_shown_without_its_numbers():
    assert repr(start()) == "Level(seeds=[3, 4], number=0, step=0, branch='dense')"


def test_other_kinds_than_those_of_a_course_are_refused():
    level, whole = start(), data()
    maker = {"iterations": 3, "optimizer": torch.optim.SGD}
    with pytest.raises(ValueError, match=r"got a tuple: .*from_tensors\(x, y, validation="):
        compress.Course(net(0), level, (whole.train_x, whole.train_y), **maker)
    ready = torch.optim.SGD(net(0).parameters(), 0.1)
    with pytest.raises(ValueError, match=r"got an? SGD: optimizer=lambda params"):
        compress.Course(net(0), level, whole, iterations=3, optimizer=ready)
    with pytest.raises(ValueError, match=r"seeds is a list, .* got an int"):
        compress.dense([net(0)], 2)
    with pytest.raises(ValueError, match=r"nets is a list, .* got a Sequential"):
        compress.dense(net(0), (0,))
    with pytest.raises(ValueError, match=r"early_stop\(rows\) for rows in course\.fit\(\)"):
        compress.early_stop(course(level).fit())


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ValueError, match=r"level 0 is not trained yet"):
        compress.following(start())
    with pytest.raises(ValueError, match=r"1 nets and 2 seeds"):
        compress.dense([net(0)], [1, 2])
    with pytest.raises(ValueError, match=r"net 1 has other weights than net 0"):
        compress.dense([net(0), net(1, conv=True)], [1, 2])
    with pytest.raises(ValueError, match=r"keep=99 is not among iterations 0 to 12"):
        course(start(), keep=(99,))
    with pytest.raises(ValueError, match=r"only a Sequential of Linear layers"):
        course(start(conv=True), conv=True, sparse=True)
    whole = data()
    bare = Data("a", "b", whole.train_x, whole.train_y, whole.test_x, whole.test_y)
    with pytest.raises(ValueError, match=r"these data have none"):
        compress.Course(net(0), start(), bare, iterations=3, optimizer=torch.optim.SGD)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_weights_that_are_nan_are_no_ticket(scope):
    level = start()
    level.weights = {name: value.clone() for name, value in level.start.items()}
    next(iter(level.weights.values()))[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"1 of .* weights are NaN or infinite, the first at"):
        compress.following(level, scope=scope)


@pytest.mark.parametrize("rate", [20, 1.0, -0.5, float("nan")])
def test_a_share_that_is_none_is_refused_where_layers_compete(rate):
    level = start()
    level.weights = level.start
    with pytest.raises(ValueError, match="1 - rate is the share that stays"):
        compress.following(level, scope="global", rate=rate)
