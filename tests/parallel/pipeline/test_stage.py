"""What a stage does for each action, and what it need not do."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from parallel.identities.pipelines import task
from parallel.pipeline import stage
from parallel.pipeline.ahead import suitable
from parallel.pipeline.pipeline import Pipeline
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.8)
STAGES, STEPS = 3, 6


class Elsewhere(torch.optim.SGD):
    """Leaves the new weights in other memory."""

    def step(self, closure=None):
        for p in (p for group in self.param_groups for p in group["params"]):
            p.data = p.data.clone()
        super().step(closure)


def begun(weights, optimizer: Any = SGD, **options):
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in ((4, 6), (6, 6), (6, 3))]
    how = Pipeline(STAGES, weights=weights, layer_split=[1, 2])
    given: Any = dict(batch_size=8, seed=0, steps=STEPS, **options)
    loss = nn.functional.cross_entropy
    net = nn.Sequential(*layers).double()
    return Pipelined(net, task(), loss, optimizer, how, Comm(STAGES), **given)


def ended(one):
    while one.done < STEPS:
        one.step()
    return list(one.consensus().values())


@pytest.mark.parametrize("weights", ["vanilla", "pipedream", "spectrain_v1", "pipeoptim"])
def test_an_optimizer_that_puts_weights_elsewhere_does_what_one_does_in_place(weights):
    other = partial(Elsewhere, lr=0.1, momentum=0.8)
    assert all(map(torch.equal, ended(begun(weights, other)), ended(begun(weights))))


def test_graphs_of_vanilla_lie_on_the_true_weights_and_nothing_is_swapped(monkeypatch):
    swapped = ended(
        begun("vanilla", resumable=True)
    )  # (which keeps each version in memory of its own)
    monkeypatch.setattr(stage, "Swap", None)
    assert all(map(torch.equal, ended(begun("vanilla")), swapped))
    with pytest.raises(TypeError, match="NoneType"):
        ended(begun("pipeoptim"))


def test_the_last_stage_is_never_late_and_predicts_once_for_both_passes():
    one, asked = begun("spectrain_v1"), []
    weights = one.executor.stages[STAGES - 1].weights
    ahead = weights.ahead
    weights.ahead = lambda steps: asked.append(steps) or ahead(steps)
    ended(one)
    assert asked == [1] * STEPS


TURNS = {
    "pipedream": "2F3 1F4 0F5 2B3 2U3 1B3 1U3 0B3 0U3",  # forward passes of all, then the rest
    "spectrain_v1": "2F3 2B3 2U3 1F4 1B3 1U3 0F5 0B3 0U3",  # both passes look ahead from the same
}


@pytest.mark.parametrize("name", TURNS)
def test_in_one_process_stages_take_turns_by_what_their_passes_read(name):
    one, seen = begun(name), []
    for _ in range(3):
        one.step()  # (until all stages are at work)
    one.executor.watch = lambda action, stage: seen.append(one.table.name_of(action))
    one.step()
    assert " ".join(seen) == TURNS[name]


def test_gradients_are_let_go_once_they_are_used():
    one = begun("pipedream")
    before = [p.clone() for p in one.model.parameters()]
    one.step()
    assert not any(map(torch.equal, one.model.parameters(), before))
    assert all(p.grad is None for p in one.model.parameters())


@pytest.mark.parametrize("ahead", ["auto", "velocity", "decaying"])
def test_without_momentum_the_velocity_is_the_last_displacement(ahead):
    plain = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    assert suitable(ahead, plain) == "displacement"
