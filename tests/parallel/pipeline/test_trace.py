"""Cutting nets that are no row of layers: where one tensor alone is alive, bit for bit the net."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn

from parallel.pipeline.trace import pieces, segments

GOOGLENET = dict(aux_logits=False, init_weights=False)
CUTS = {  # (pieces of the graph; a cut is between two of them)
    "vgg16": (dict(), 40),
    "resnet18": (dict(), 23),
    "resnet50": (dict(), 39),
    "densenet121": (dict(), 25),
    "googlenet": (GOOGLENET, 26),
    "mobilenet_v3_small": (dict(), 59),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "resnet18")) for n in CUTS]
)
def test_nets_of_torchvision_in_pieces_are_the_net_bit_for_bit(name):
    """Trained and tested; the pieces share its weights."""
    options, count = CUTS[name]
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None, **options)
    x = torch.randn(2, 3, 32, 32)
    row = pieces(net, x)
    assert len(row) == count
    shared = {id(p) for piece in row for p in piece.parameters()}
    assert shared == {id(p) for p in net.parameters()}
    net.eval()
    for piece in row:
        piece.eval()
    with torch.no_grad():
        y = x
        for piece in row:
            y = piece(y)
        assert torch.equal(y, net(x))


def test_a_net_that_reads_free_parameters_is_refused_by_their_names():
    net = torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 16)
    words = r"VisionTransformer reads class_token, encoder.pos_embedding outside of a layer: put it"
    with pytest.raises(ValueError, match=words):
        pieces(net, torch.randn(2, 3, 32, 32))


def test_many_free_parameters_are_not_all_listed():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            for i in range(5):
                setattr(self, f"w{i}", nn.Parameter(torch.ones(3)))

        def forward(self, x):
            return x * self.w0 * self.w1 * self.w2 * self.w3 * self.w4

    with pytest.raises(ValueError, match="reads w0, w1, w2 and 2 more outside of a layer"):
        segments(Many())


class Skip(nn.Module):
    """A sum of two branches, and two kinds of dropout."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        y = F.relu(self.a(x), inplace=True)
        z = self.drop(self.b(y)) + y
        return self.c(F.dropout(z, 0.5, self.training))


def test_there_is_no_cut_where_a_skip_is_alive():
    """Cuts: a | relu | b, drop and their sum | dropout | c: training's noise is in the pieces, too."""
    net = Skip()
    before = copy.deepcopy(net.state_dict())
    row = pieces(net, torch.randn(2, 4))
    names = [[n for n, _ in piece.named_children()] for piece in row]
    assert names == [["a"], [], ["b", "drop"], [], ["c"]]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


class Turns(nn.Module):
    """Its way depends on its inputs."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, x):
        return self.a(x) if x.sum() > 0 else -self.a(x)


def test_a_net_that_looks_at_its_numbers_is_refused():
    words = r"Turns cannot be traced \(TraceError: .*give it `stages`, an nn.Sequential"
    with pytest.raises(ValueError, match=words):
        pieces(Turns(), torch.randn(2, 4))


class Remembers(nn.Module):
    """Its forward pass depends on something that tracing turns into a constant."""

    def __init__(self):
        super().__init__()
        self.a, self.calls = nn.Linear(4, 4), 0

    def forward(self, x):
        self.calls += 1
        return self.a(x) * self.calls


def test_a_net_whose_pieces_give_other_numbers_is_refused():
    words = "Remembers: its traced pieces give other numbers than the net; give it `stages`"
    with pytest.raises(ValueError, match=words):
        pieces(Remembers(), torch.randn(2, 4))


class Staged(nn.Module):
    """Has `stages`, which are the net or not."""

    def __init__(self, through=True):
        super().__init__()
        self.stages = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        self.through = through

    def forward(self, x):
        return self.stages(x) if self.through else self.stages(x) + 1


def test_its_own_stages_are_taken_where_they_are_the_net():
    net = Staged()
    before = copy.deepcopy(net.state_dict())
    assert pieces(net, torch.randn(2, 4)) == list(net.stages)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())  # (running means)


def test_stages_that_are_not_the_net_are_not_taken():
    row = pieces(Staged(False), torch.randn(2, 4))
    assert len(row) == 4  # its layers, and the sum


def test_an_error_of_the_net_itself_is_no_word_about_cuts():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        pieces(Staged(), torch.randn(2, 5))
