"""ModelParallel of a style that does not wait: layers that it refuses, and policies of one's own."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from parallel import ModelParallel, Pipeline, train
from parallel.pipeline.weights import Policy
from tests.parallel.wrap.nets import batch, step, wrapped


@pytest.mark.parametrize("style", ["vanilla", "spectrain_v1", "pipeoptim", "pipemare"])
def test_a_layer_that_derives_its_weight_is_refused_by_name(style):
    derived = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), derived, nn.ReLU(), nn.Linear(8, 3)).double()
    made, _ = wrapped(style, model=model)
    with torch.no_grad():
        made(batch()[0])  # (nothing is saved, so nothing is shown)
    with pytest.raises(ValueError, match=r"stage 1 saves a copy of 0\.parametrizations"):
        made(batch()[0])
    for same in ("pipedream", "spectrain_v2", "recomputed"):
        step(*wrapped(same, model=copy.deepcopy(model)))


def hooked():
    layer = torch.nn.utils.weight_norm(nn.Linear(4, 3))
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(layer, nn.ReLU())).double()


@pytest.mark.parametrize("style", ["1f1b", "pipedream", "vanilla"])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_a_weight_that_a_hook_sets_is_refused_by_name(style):
    words = r"1.0.weight: .* by a hook, .* take torch.nn.utils.parametrizations.weight_norm"
    with pytest.raises(ValueError, match=words):
        ModelParallel(style=style, model=hooked(), layer_split=[1])
    weights = None if style == "1f1b" else style
    with pytest.raises(ValueError, match=words):
        train(hooked(), "iris", strategy=Pipeline(2, weights=weights))


@pytest.mark.parametrize("style", ["pipedream", "vanilla", "spectrain_v2", "vertical_sync"])
def test_a_layer_that_runs_again_later_is_refused(style):
    class Again(nn.Linear):
        def forward(self, x):
            return checkpoint(
                lambda y: torch.tanh(super(Again, self).forward(y)), x, use_reentrant=False
            )

    model = nn.Sequential(Again(5, 8), nn.ReLU(), Again(8, 8), nn.ReLU(), Again(8, 3)).double()
    made, _ = wrapped(style, model=model)
    with pytest.raises(ValueError, match=r"stage 0 runs layers again .*checkpoint"):
        made(batch()[0])
    step(*wrapped("recomputed", model=copy.deepcopy(model)))


def test_a_policy_of_ones_own():
    class Mine(Policy):
        swaps = False

    mine, stepper = wrapped(Mine())
    other, others = wrapped("pipedream")
    for k in range(5):
        step(mine, stepper, k)
        step(other, others, k)
    torch.testing.assert_close(mine.state_dict(), other.state_dict(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "Mine.backward gives None for minibatch 0, so the backward pass is to see"),
        ({}, "Mine.backward gives no 0.weight, 0.bias, 1.weight, 1.bias for minibatch 0: return"),
        (3, "Mine.backward gives 3 for minibatch 0: return tensors by the names of the stage's"),
    ],
)
def test_what_is_no_weights_for_a_backward_pass_is_refused(given, words):
    class Mine(Policy):
        def backward(self, weights, t):
            return given if weights.stage == 0 else weights.newest

    # (a layer that reads the samples has no need of its weights: the second one of a stage has)
    row = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 3)).double()
    mine, stepper = wrapped(Mine(), model=row, split=[2])
    with pytest.raises(ValueError, match=re.escape(words)):
        step(mine, stepper, 0)
