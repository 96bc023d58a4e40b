"""Layers that a late backward pass would give wrong gradients are refused, whatever the policy."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from bibd import SparseLinear
from parallel.identities.pipelines import task
from parallel.pipeline.guard import guard
from parallel.pipeline.layers import apart
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm


class Again(nn.Module):
    """A layer that runs again in the backward pass."""

    def __init__(self, a, b, reentrant=False):
        super().__init__()
        self.layer, self.reentrant = nn.Sequential(nn.Linear(a, b), nn.Tanh()).double(), reentrant

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=self.reentrant)


def steps(weights, first=Again, count=6):
    torch.manual_seed(0)
    net = nn.Sequential(first(4, 6), Again(6, 6), Again(6, 3))
    how = Pipeline(3, weights=weights, micro=2, layer_split=[1, 2])
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.8)
    loss = nn.functional.cross_entropy
    one = Pipelined(net, task(), loss, sgd, how, Comm(3), batch_size=8, seed=0, steps=9)
    for _ in range(count):
        one.step()
    return list(one.consensus().values())


@pytest.mark.parametrize("weights", [name for name in POLICIES if name != "recomputed"])
def test_a_layer_that_runs_again_later_is_refused(weights):
    with pytest.raises(ValueError, match=r"stage 0 runs layers again .*checkpoint.*recomputed"):
        steps(weights)


def test_where_updates_wait_it_may_run_again():
    class Once(Again):
        def forward(self, x):
            return self.layer(x)

    assert all(map(torch.equal, steps(None), steps(None, Once)))
    steps("recomputed")


@pytest.mark.parametrize("kind", ["sum", "none"])
def test_a_loss_that_is_no_mean_is_refused(kind):
    net, loss = nn.Sequential(nn.Linear(4, 3)).double(), nn.CrossEntropyLoss(reduction=kind)
    for one in (loss, partial(nn.functional.cross_entropy, reduction=kind)):
        with pytest.raises(ValueError, match=f"reduction='{kind}'.*mean"):
            Pipelined(
                net,
                task(),
                one,
                torch.optim.SGD,
                Pipeline(1),
                Comm(1),
                batch_size=8,
                seed=0,
                steps=9,
            )


class Exp(nn.Linear):
    """A layer whose backward pass needs something that it derives from its weight."""

    def forward(self, x):
        return x @ self.weight.exp().T


class Dead(nn.Module):
    """Whatever comes in, zeros go out, until the bias is moved."""

    def __init__(self, width):
        super().__init__()
        self.bias = nn.Parameter(torch.full((width,), -1e-3))

    def forward(self, x):
        return (x * 1e-6 + self.bias).relu()


def stage(*layers, x):
    guard(nn.Sequential(*layers), apart, x, "stage 0", True)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()],
        [Dead(4), nn.Linear(4, 3), nn.ReLU()],
    ],
)
def test_activations_that_no_input_changes_are_not_taken_for_weights(layers):
    """Two values a channel come out as plus or minus one; dead units give zeros."""
    torch.manual_seed(0)
    stage(*layers, x=torch.randn(2, 4))


@pytest.mark.parametrize("value", [0, 3])
def test_a_weight_that_is_derived_is_found_whatever_the_inputs(value):
    """Also where these are all alike, so that no others of their kind can be made of them."""
    words = r"stage 0 saves a copy of 2.weight, or something derived from it"
    layers = nn.Embedding(5, 4), nn.Flatten(), Exp(8, 3)
    with pytest.raises(ValueError, match=words):
        stage(*layers, x=torch.full((6, 2), value))


def test_a_sparse_layer_that_scatters_its_weight_is_told_which_path_does_not():
    layer = SparseLinear(4, 4, "random", nonzeros=8, seed=0, backend="dense")
    with pytest.raises(ValueError, match="one of bibd does with backend='native'"):
        stage(nn.Linear(4, 4), layer, x=torch.randn(2, 4))


def test_a_weight_that_is_derived_is_found_behind_a_norm_that_hides_the_inputs():
    with pytest.raises(ValueError, match=r"stage 0 saves a copy of 2.weight, or something derived"):
        stage(nn.Linear(4, 4), nn.BatchNorm1d(4), Exp(4, 3), x=torch.randn(2, 4))
