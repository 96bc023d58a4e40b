"""One budget spent in ways: the nets of each side, how they go on, what their last row says."""

from dataclasses import replace

import pytest
import torch

from ensemble import trainer, weighing
from ensemble.nets import build
from ensemble.plans.budget import COLOUR, PLANS, SIDES, tiny
from ensemble.sides import Side
from ensemble.weighing import costs, weighed
from harness import cost
from harness.data import Data
from harness.job import Job

SMALL = {name: replace(config, epochs=2) for name, config in tiny().items()}


DATA = trainer.read(SMALL["dense-short"], Job())


def rows(config, saved=None, stop=None):
    side, found = Side(config, DATA, 0), []
    if saved:
        side.load_state_dict(saved)
    while side.passes < (stop or config.epochs):
        row = side.epoch(DATA)
        found.append({k: v for k, v in row.items() if not k.endswith("_time")})
    return found, side


@pytest.mark.parametrize("name", SMALL)
def test_a_side_goes_on_bitwise_from_between_two_passes(name):
    whole, _ = rows(SMALL[name])
    first, side = rows(SMALL[name], stop=1)
    assert first + rows(SMALL[name], saved=side.state_dict())[0] == whole


def test_the_last_row_scores_the_first_members_and_says_how_reliable_all_are():
    last = weighed(rows(SMALL["narrow-4-short"])[1], DATA)
    assert [line["members"] for line in last["sizes"]] == [1, 2, 4]
    assert last["sizes"][-1]["test_accuracy"] == last["test_accuracy"]
    for which in ("raw", "calibrated"):
        found = last["reliability"][which]
        right = sum(n * accuracy for n, _, accuracy in found)
        assert sum(n for n, _, _ in found) == 360
        assert right / 360 == pytest.approx(last["test_accuracy"], abs=1e-5)


def test_times_stand_beside_those_of_the_dense_net(monkeypatch):
    monkeypatch.setattr(weighing, "CALLS", {1: 2, 128: 2})
    (*_, last) = trainer.train(SMALL["packed-4-short"], 0, Job())
    sides = {f"{dense}{what}" for dense in ("", "dense_")
             for what in ("step", "call_1", "call_128")}  # fmt: skip
    assert set(last["time"]) == sides
    assert all(value > 0 for value in last["time"].values())


@pytest.mark.parametrize(("sides", "inputs"), [(SIDES, 1024), (COLOUR, 3072)])
def test_sides_of_the_plan_have_about_the_connections_of_the_one_dense_net(sides, inputs):
    """By construction: all but the wide nets are within a thirtieth of it, those within a tenth."""
    empty = torch.zeros(2, inputs), torch.arange(2) * 9
    data = Data("none", "", *empty, *empty)
    dense = costs(sides["dense"], data)["connections"]
    assert dense == inputs * 256 + 256 * 272 + 272 * 10
    assert list(sides) == list(SIDES)
    for name, config in sides.items():
        share = costs(config, data)["connections"] / dense
        assert abs(share - 1) < (1 / 10 if name == "wide-4" else 1 / 30), (name, share)


def test_inputs_are_made_standard_by_the_training_part_alone():
    data = trainer.read(replace(SMALL["dense-short"], standard=True), Job())
    assert float(data.train_x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.train_x.std()) == pytest.approx(1, abs=1e-5)
    mean, deviation = DATA.train_x.mean(), DATA.train_x.std()
    for part in ("test_x", "validation_x"):
        expected = (getattr(DATA, part) - mean) / deviation
        torch.testing.assert_close(getattr(data, part), expected)


def test_packed_members_read_one_batch_and_answer_apart():
    config = SMALL["packed-4-short"]
    data, side = DATA, Side(config, DATA, 0)
    assert len(side.nets) == 1
    assert len(set(side.seeds)) == 1
    assert side.answers(data.test_x).shape == (4, 360, 10)
    (net,) = build(config, data, 0)
    assert cost.facts(net, data.shape)["macs"] == costs(config, data)["macs"]


def test_sparse_members_share_a_design_where_they_should():
    for name, same in (("one-22-short", True), ("wide-4-short", False)):
        first, second, *_ = build(SMALL[name], DATA, 0)
        one, other = (net[0].pattern.flat for net in (first, second))
        assert (one.tolist() == other.tolist()) == same


def test_moving_members_start_as_random_ones_and_keep_their_count():
    config = SMALL["rigl-4-short"]
    side = Side(config, DATA, 0)
    twins = build(SMALL["random-4-short"], DATA, 0)
    x = DATA.test_x[:20]
    for net, twin in zip(side.nets, twins, strict=True):
        assert net[0].pattern.digest() == twin[0].pattern.digest()
        assert torch.equal(net(x), twin(x))
    side.run()
    assert len({net[0].pattern.digest() for net in side.nets}) == 4
    for net, twin in zip(side.nets, twins, strict=True):
        assert net[0].pattern.digest() != twin[0].pattern.digest()
        assert cost.facts(net, DATA.shape)["connections"] == config.connections


def test_pruned_members_hold_in_the_end_what_is_left_of_them():
    config = SMALL["pruned-4-short"]
    _, side = rows(config)
    nets, x = side.finished(), DATA.test_x
    places = {net[0].pattern.digest() for net in nets}
    assert len(places) == 4
    for net in nets:
        assert cost.facts(net, DATA.shape)["connections"] == config.connections
    answers = torch.stack([torch.log_softmax(net(x).double(), -1) for net in nets])
    # (sums of at most 64 products in another order, three layers deep)
    torch.testing.assert_close(answers, side.logp["test"], rtol=1e-5, atol=1e-5)
    assert [c["connections"] for c in (costs(config, DATA),)] == [4 * config.connections]


def test_steps_that_change_connections_are_as_many_as_are_made():
    for name in ("rigl-4-short", "pruned-4-short"):
        for changes in (dict(), dict(every=7), dict(every=1, until=1.0), dict(every=50)):
            config = replace(SMALL[name], **changes)
            group = Side(config, DATA, 0).groups[0]
            steps = group.steps * config.epochs
            way, made = group.way, 0
            for _ in range(steps):
                if name == "rigl-4-short":
                    made += way.due
                    way.t += 1
                else:
                    way.t += 1
                    made += way.schedule.due(way.t)
            assert config.changes(steps) == made > 0, (name, changes)


def test_training_is_counted_by_what_it_multiplies():
    """Pruned members as the dense nets that they are; a change by its one dense gradient."""
    small = {name: replace(config, until=0.5) for name, config in SMALL.items()}
    seen = len(DATA.train_y) * 2  # in two passes
    dense, still, moving, pruned = (
        costs(small[f"{name}-short"], DATA) for name in ("dense", "random-4", "rigl-4", "pruned-4")
    )
    assert dense["train_macs"] == 3 * dense["macs"] * seen
    assert pruned["train_macs"] == 4 * dense["train_macs"]
    assert still["train_macs"] == 3 * still["macs"] * seen
    steps = 2 * -(-len(DATA.train_y) // 32)
    changes = len([t for t in range(1, steps) if t < steps / 2 and t % 20 == 0])
    more = changes * 32 * (4 * dense["macs"] - moving["macs"])
    assert moving["train_macs"] - still["train_macs"] == more > 0


def test_changes_are_in_the_time_of_a_step(monkeypatch):
    monkeypatch.setattr(weighing, "CALLS", {1: 2, 128: 2})
    monkeypatch.setattr(weighing, "_changes", lambda *of: 1e6)
    for name, found in (("rigl-4-short", True), ("random-4-short", False)):
        side = Side(SMALL[name], DATA, 0)
        assert (weighing.times(side, DATA)["step"] >= 1e6) == found


def test_more_connections_than_a_member_has_are_not_left_of_it():
    config = replace(SMALL["pruned-4-short"], connections=10_000)
    with pytest.raises(ValueError, match=r"connections=10,000 cannot be left of a member with"):
        costs(config, DATA)


def test_what_the_budget_plans_compare_are_arms_of_theirs():
    for plan in PLANS.values():
        assert {arm for pair in plan.compare for arm in pair} <= set(plan.arms)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(designs="lottery"), "unknown designs 'lottery'"),
        (dict(members=0), "members must be at least 1, got 0"),
        (dict(alpha=1.5), "alpha must be above 0 and at most members=1"),
        (dict(hidden=()), "hidden must be widths"),
        (dict(lr=0.0), "lr must be above 0"),
        (dict(every=0), "every must be at least 1, got 0"),
        (dict(until=0.0), r"until must be in \(0, 1\], got 0.0"),
        (dict(fraction=1.5), r"fraction must be in \(0, 1\], got 1.5"),
        (dict(connections=99), "connections=99 with designs='dense'"),
        (dict(designs="random", connections=-1), "connections=-1 with designs='random'"),
        (dict(designs="pruned"), "pruned members need connections="),
    ],
)
def test_settings_of_a_side_that_make_no_sense_are_refused_in_words(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SIDES["dense"], **change)
