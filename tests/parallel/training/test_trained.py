"""The trained net that `parallel.train` gives: the same in every world, whole, and no other."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import Pipeline, World, train
from parallel.identities import averaging as identities
from parallel.training import training

HOW = dict(optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.8), steps=8, batch_size=6)
PIPELINE = Pipeline(2, weights="spectrain_v1", layer_split=[2])


def start(model, strategy, world, **more):
    return train(model, identities.task(), strategy=strategy, world=world, **(HOW | more))


@pytest.mark.parametrize("strategy", [PIPELINE, "all_reduce", "elastic_gossip", "ist"])
def test_the_net_is_what_the_last_row_was_tested_with_in_simulation_and_processes(strategy):
    before, ends = copy.deepcopy(identities.net()), []
    for world in (World.sim(2), World.procs(2, threads=1, timeout=30)):
        net = copy.deepcopy(before)
        trained = start(net, strategy, world)
        *_, row = trained
        model = trained.model
        assert training.tested(copy.deepcopy(model), identities.task(), F.cross_entropy) == (
            pytest.approx(row["test_loss"], rel=1e-12),
            row["test_accuracy"],
        )
        assert all(map(torch.equal, net.parameters(), before.parameters()))  # (as it was)
        assert not all(map(torch.equal, model.parameters(), before.parameters()))
        assert model.training
        assert model is trained.model
        ends.append(trained.state_dict())
    assert list(ends[0]) == list(before.state_dict())
    assert identities.apart(*ends) <= 1e-12


def test_who_asks_for_the_net_trains_what_is_left():
    trained, whole = (start(identities.net(), PIPELINE, World.sim(2), every=2) for _ in range(2))
    assert next(trained)["step"] == 2
    *_, row = whole
    assert row["step"] == 8
    assert identities.apart(trained.state_dict(), whole.state_dict()) == 0
    assert list(trained) == []


def test_a_net_that_is_made_for_each_rank_is_made_for_the_result():
    def made(rank):
        assert rank == 0
        return identities.net()

    trained = start(made, "all_reduce", World.sim(2))
    assert isinstance(trained.model, nn.Sequential)
    assert identities.apart(trained.model.state_dict(), trained.state_dict()) == 0


def test_a_training_that_was_stopped_has_no_net():
    trained = start(identities.net(), "all_reduce", World.sim(2), every=2)
    next(trained)
    trained.close()
    with pytest.raises(ValueError, match=r"no trained net here: a training that was stopped"):
        trained.state_dict()


def test_facts_of_a_pipeline_are_the_same_in_simulation_and_processes():
    """All that is counted; what was timed differs."""
    ends = []
    for world in (World.sim(2), World.procs(2, threads=1, timeout=30)):
        trained = start(identities.net(), PIPELINE, world, measured=True)
        assert next(trained)["step"] == 4
        found = trained.facts()
        assert list(trained) == []  # (it has trained what was left)
        ends.append({k: v for k, v in found.items() if not k.endswith(("_measured", "_simulated"))})
        assert found["bubble_simulated"] > 0
        assert (found["bubble_measured"] is None) == (world.kind == "sim")
    assert ends[0] == ends[1]
    assert ends[0]["delays_counted"] == [{0: 1, 1: 7}, {0: 8}]
    assert ends[0]["boundary_bytes_counted"] == ends[0]["boundary_bytes_theory"] > 0


def test_who_has_not_asked_for_facts_is_told_how():
    for strategy in (PIPELINE, "all_reduce"):
        trained = start(identities.net(), strategy, World.sim(2))
        with pytest.raises(ValueError, match=r"there are no facts: .*measured=True"):
            trained.facts()
    with pytest.raises(ValueError, match=r"measured=True counts what the stages of a Pipeline do"):
        start(identities.net(), "all_reduce", World.sim(2), measured=True)


def test_a_pipeline_that_is_not_told_where_to_cut_is_cut_alike_everywhere_and_says_where():
    ends = []
    for world in (World.sim(2), World.sim(2), World.procs(2, threads=1, timeout=30)):
        trained = start(identities.net(), Pipeline(2, weights="pipedream"), world)
        assert trained.layer_split is None
        next(trained)
        ends.append((trained.layer_split, trained.state_dict()))
    (split, first), *others = ends
    assert split
    assert len(split) == 1
    assert [other for other, _ in others] == [split, split]
    assert all(identities.apart(first, other) == 0 for _, other in others)


def test_a_cut_by_times_is_told_at_the_end_with_what_gives_it_again():
    trained = start(identities.net(), Pipeline(2, layer_split="measured"), World.sim(2))
    with pytest.warns(UserWarning, match=r"cut by measured times: layer_split=\[\d\] gives these"):
        trained.state_dict()
    assert start(identities.net(), "all_reduce", World.sim(2)).layer_split is None


def test_processes_give_facts_without_being_asked():
    trained = start(identities.net(), PIPELINE, World.procs(2, threads=1, timeout=30))
    found = trained.facts()
    assert found["layer_split"] == [2]
    assert 0 <= found["bubble_measured"] < 1
    with pytest.raises(ValueError, match="in processes or, in a simulation, with train"):
        start(identities.net(), PIPELINE, World.sim(2)).facts()
