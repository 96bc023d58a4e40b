"""A cell of the grid with ensembles: one net, and others beside it that are pooled."""

from dataclasses import replace

import pytest
import torch

from ensemble import trainer
from ensemble.grid import Cell
from ensemble.plans.factors import FACTORS, PLANS, Grid
from harness.job import Job
from resnet.plans.parts import FACTORS as THERE
from resnet.plans.parts import factor_arms

Y = torch.arange(40) % 4


def said(seed, told):
    """Logits of two exits, as a net of this seed would have them."""
    g = torch.Generator().manual_seed(seed % 2**31)
    told(1.0)
    right = 1.5 * torch.nn.functional.one_hot(Y, 4)
    return {part: right + torch.randn(2, 40, 4, generator=g) for part in ("test", "validation")}


def cell():
    return Cell(said, {"test": Y, "validation": Y}, Grid(), 0)


def test_the_single_net_is_no_member_of_the_ensemble():
    whole = cell()
    first, *_, last = [whole.next() for _ in range(5)]
    assert (first["members"], last["members"]) == (1, 4)
    pooled = torch.stack([one["test"][-1] for one in whole.logp[1:]]).exp().mean(0)
    assert last["test_accuracy"] == float((pooled.argmax(-1) == Y).double().mean())
    assert last["exit_accuracy"][-1] == last["test_accuracy"]
    assert first["disagreement"] is None


def test_a_cell_goes_on_bitwise_from_between_two_nets():
    def plain(rows):
        return [{k: v for k, v in row.items() if k != "train_time"} for row in rows]

    whole, first, rest = cell(), cell(), cell()
    rows = [whole.next() for _ in range(5)]
    begun = [first.next() for _ in range(2)]
    rest.load_state_dict(first.state_dict())
    assert plain(begun + [rest.next() for _ in range(3)]) == plain(rows)


def test_nets_are_those_of_the_grid_of_the_resnet_study():
    """But for the images that are set aside for a temperature."""
    arms, there = PLANS["factors"].arms, factor_arms()
    assert set(arms) == {a for a in there if "V2" not in a}
    for name, config in arms.items():
        assert replace(config.net(), validation=0) == there[name]
    assert set(THERE) < set(FACTORS)


@pytest.mark.slow
def test_a_cell_of_tiny_resnets_is_trained_through():
    config = replace(PLANS["factors_smoke"].arms["iddl-V4-EE"], each=1)
    found = list(trainer.train(config, 0, Job()))
    assert [row["members"] for row in found] == [1, 1, 2]
    assert len(found[-1]["exit_accuracy"]) == 3
    assert trainer.describe(config, Job())["macs"] > 0


def test_settings_of_the_grid_that_make_no_sense_are_refused_in_words():
    with pytest.raises(ValueError, match="members and validation must be at least 1"):
        Grid(members=0)
    with pytest.raises(ValueError, match="groups=3 must divide"):
        Grid(groups=3)
