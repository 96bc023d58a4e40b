"""Replicas: which are stacked, and which are looped over."""

import torch
import torch.nn.functional as F
from torch import nn

from harness.nets.dropout import KeyedDropout
from harness.stack import stack
from parallel.identities import averaging as identities
from parallel.replicas.replicas import Looped, Stacked, replicas
from parallel.strategy import make
from parallel.training.training import Training
from parallel.world.comm import Comm


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).double()


class Hidden(nn.Module):
    """A mask inside a module of one's own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.a, self.drop, self.b = nn.Linear(4, 6), KeyedDropout(0.5), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.drop(self.a(x)))


def test_modules_of_ones_own_are_stacked_unless_they_hide_masks():
    assert isinstance(replicas([Hidden() for _ in range(3)]), Looped)

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a = nn.Linear(6, 3), nn.Linear(4, 6)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))

    nets = [Bare() for _ in range(3)]
    assert isinstance(replicas(nets), Stacked)
    assert next(iter(stack(nets).params)) == "b__weight"


def test_an_optimizer_that_looks_at_whole_matrices_is_not_stacked():
    words = identities.net, identities.task(), F.cross_entropy
    found = Training(*words, torch.optim.Adafactor, make("no_comm"), Comm(3), batch_size=9, seed=1)
    assert isinstance(found.members, Looped)
