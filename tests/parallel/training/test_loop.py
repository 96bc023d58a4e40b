"""`parallel.train` on data of one's own."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from harness.data import Data
from harness.nets.perceptron import mlp
from parallel import Pipeline, World, train


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


def words(n=60):
    g = torch.Generator().manual_seed(1)
    return torch.randint(0, 9, (n, 5), generator=g), torch.arange(n) % 3


def reader():
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))


class Reader(nn.Module):
    """The same net, not as a row of layers."""

    def __init__(self):
        super().__init__()
        self.layers = reader()

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("strategy", ["all_reduce", Pipeline(2, layer_split=[1])])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_whole_numbers_stay_whole_for_a_net_that_begins_with_an_embedding(strategy, kind):
    x, y = words()
    sources = (x.to(kind), y), TensorDataset(x.to(kind), y), Data.from_tensors(x, y, tokens=True)
    how = dict(strategy=strategy, world=World.sim(2), steps=4, batch_size=16)
    found = [list(train(reader(), source, **how))[-1]["test_loss"] for source in sources]
    assert len(set(found)) == 1


def test_a_net_that_is_no_row_may_begin_with_an_embedding():
    how = dict(world=World.sim(2), steps=4, batch_size=16)
    found = [list(train(net, words(), **how))[-1]["test_loss"] for net in (reader(), Reader())]
    assert found[0] == found[1]


def test_whole_numbers_are_amounts_for_any_other_net():
    x, y = words()
    net = mlp((5, 8, 3), 0)
    found = [list(train(net, (v, y), steps=4))[-1]["test_loss"] for v in (x, x.float())]
    assert found[0] == found[1]


@pytest.mark.parametrize("make", [lambda x, y: (x.float(), y), Data.from_tensors])
def test_floats_for_an_embedding_are_refused_with_what_to_type(make):
    with pytest.raises(ValueError, match=r"Data.from_tensors\(x.long\(\), y, tokens=True\)"):
        train(reader(), make(*words()))


def test_a_dataset_of_tokens_is_read_whole():
    data = Data.from_dataset(TensorDataset(*words()), tokens=True)
    assert data.tokens
    assert data.train_x.dtype == torch.int64


def row(*layers):
    return nn.Sequential(*layers)


FLAT = (torch.ones(24, 6), torch.arange(24) % 3)
WRONG = {
    "tokens": (
        lambda: row(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(24, 3)),
        (torch.arange(144).view(24, 6) % 20, FLAT[1]),
        r"piece 0 \(Embedding\) was given whole numbers from \d+ to 1\d: .*it larger \(\d+ or more",
    ),
    "classes": (
        lambda: row(nn.Linear(6, 4), nn.Linear(4, 3)),
        (FLAT[0], torch.arange(24) % 12),
        r"stage 1: the loss of outputs \(\d+, 3\) and targets up to 11: .*an output for each class",
    ),
    "numbers": (
        lambda: row(nn.Linear(6, 4), nn.Linear(4, 3)),
        (FLAT[0], FLAT[0][:, 0] / 3),
        "expected classes, .*regression, are not to be had",
    ),
    "float64": (
        lambda: row(nn.Linear(6, 4), nn.Linear(4, 3)).double(),
        FLAT,
        r"Its weights are torch.float64, and data are kept as float32: take net.float\(\), or",
    ),
    "pairs": (
        lambda: row(nn.LSTM(6, 4), nn.Linear(4, 3)),
        FLAT,
        r"piece 0 \(LSTM\) gives a tuple of 2, .*: put pieces 0 and 1 into one module",
    ),
    "no weights": (
        lambda: row(nn.Flatten(), nn.Tanh()),
        FLAT,
        "Sequential has no weights .* nothing can train",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_net_in_stages_cannot_be_given_is_told_with_what_to_do(what):
    make, data, words = WRONG[what]
    how = dict(strategy=Pipeline(2, layer_split=[1]), world=World.sim(2), steps=1, batch_size=24)
    with pytest.raises(ValueError, match=words):
        list(train(make(), data, **how))
