"""`parallel.train` on data of one's own."""

import pytest
import torch
from torch.utils.data import TensorDataset

from harness.data import Data
from harness.nets.perceptron import mlp
from parallel import World, train


def last(data):
    *_, row = train(mlp((4, 8, 3), 0), data, steps=12, world=World.sim(2), batch_size=16)
    return row["test_loss"], row["test_accuracy"]


def test_tensors_a_dataset_and_a_data_are_the_same_training():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 4, generator=g), torch.arange(60) % 3
    expected = last(Data.from_tensors(x, y))
    assert last((x, y)) == last(TensorDataset(x, y)) == expected
    assert last((x.numpy(), y.numpy())) == expected


def test_what_is_no_data_is_refused_in_words():
    with pytest.raises(ValueError, match="data is the name of a data set, tensors"):
        last(torch.ones(4, 4))
    with pytest.raises(ValueError, match="the inputs hold NaN"):
        last((torch.full((4, 4), torch.nan), [0, 0, 1, 1]))
