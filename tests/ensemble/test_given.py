"""Members as they are given: by a function that makes them, as a list, or as an ensemble."""

import pytest
import torch
from torch import nn

from ensemble import Training, made
from tests.ensemble.fit.tasks import dense, task


def test_members_that_begin_alike_are_said():
    def alike():
        torch.manual_seed(0)
        return dense()

    with pytest.warns(UserWarning, match=r"begin with the same weights.*seed=None"):
        made(alike, 2)


def test_a_net_whose_parts_are_called_nets_is_no_ensemble():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.nets = nn.ModuleList([dense(), dense()])

        def forward(self, x):
            return self.nets[0](x) - self.nets[1](x)

    with pytest.raises(ValueError, match="a list of nets or an Ensemble, got one Pair"):
        Training(Pair(), *task(), epochs=1)
