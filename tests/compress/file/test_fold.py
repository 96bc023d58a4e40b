"""Batch norms folded into layers: the same function, within rounding."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from bibd import BibdConv2d, SparseConv2d, SparseLinear
from compress import bake, fold, pack, share, unpack
from tests.compress.file.nets import same


class Block(nn.Module):
    """A residual block: one norm can be folded twice over, one reads a sum, one comes first."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.before = nn.BatchNorm2d(3)
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = (
            SparseConv2d(8, 8, 3, padding=1, pattern="random", seed=1),
            nn.BatchNorm2d(8),
        )
        self.after = nn.BatchNorm2d(8, affine=False)
        self.fc, self.bn3 = SparseLinear(8, 6, "random", bias=False, seed=2), nn.BatchNorm1d(6)
        self.last, self.free = nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(self.before(x))))
        x = self.after(x + self.bn2(self.conv2(x)))
        return self.free(self.last(self.bn3(self.fc(x.mean((2, 3))))))


def block():
    net = Block().double()
    for _ in range(3):
        net(torch.randn(8, 3, 5, 5, dtype=torch.float64) * 2 + 1)
    with torch.no_grad():
        for bn in (net.bn1, net.bn2, net.bn3):
            bn.weight.normal_()
            bn.bias.normal_()
    return net.eval()


def test_the_function_stays_and_foldable_norms_are_gone():
    net, x = block(), torch.randn(4, 3, 5, 5, dtype=torch.float64)
    made = fold(net)
    torch.testing.assert_close(made(x), net(x), rtol=1e-12, atol=1e-12)
    gone = {name for name in ("bn1", "bn2", "bn3") if isinstance(getattr(made, name), nn.Identity)}
    assert gone == {"bn1", "bn2", "bn3"}
    for name in ("before", "after", "free"):
        assert not isinstance(getattr(made, name), nn.Identity)
    assert isinstance(net.bn1, nn.BatchNorm2d)


def test_folded_values_are_no_start_that_could_be_a_wrong_one(recwarn):
    net = nn.Sequential(BibdConv2d(64, 72, 3), nn.BatchNorm2d(72))
    net[1].running_var.fill_(1 / 8)  # from the fan-in of 72 to that of 9
    fold(net)(torch.randn(1, 64, 5, 5))
    assert not recwarn.list


def test_a_folded_net_takes_fewer_bytes_and_comes_back(tmp_path):
    net = block().float()
    whole, made = pack(net, tmp_path / "whole"), fold(net)
    packed = pack(made, tmp_path / "net")
    assert packed.bytes < whole.bytes
    unpack(tmp_path / "net", made)
    assert same(made.state_dict(), packed.state)


def test_a_layer_that_others_read_or_that_is_called_twice_keeps_its_norm():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.na, self.nb = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, x):
            y = self.a(x)
            return self.na(y) + y + self.nb(self.b(self.b(x)))

    made = fold(Twice())
    assert isinstance(made.na, nn.BatchNorm1d)
    assert isinstance(made.nb, nn.BatchNorm1d)


def test_a_net_that_cannot_be_followed_takes_pairs():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.n = nn.Linear(3, 2), nn.BatchNorm1d(2)

        def forward(self, x):
            return self.n(self.a(x)) if x.sum() > 0 else x[:, :2]

    net = Branching().eval()
    net.n.running_mean.normal_()
    with pytest.raises(ValueError, match=r"torch\.fx cannot follow Branching .*fold\(net, pairs="):
        fold(net)
    x = torch.rand(4, 3)
    torch.testing.assert_close(fold(net, [("a", "n")])(x), net(x))
    with pytest.raises(ValueError, match="no module 'b': there are a, n"):
        fold(net, [("b", "n")])
    net.n = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match=r"n is a norm of 3 channels, a has 2: .* right before it"):
        fold(net, [("a", "n")])
    with pytest.raises(ValueError, match=r"a \(Linear\) cannot be folded into n \(BatchNorm1d\)"):
        fold(net, [("n", "a")])


def test_computed_weights_are_not_folded():
    def net():
        return nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6))

    shared, normed, masked = net(), net(), net()
    share(shared, 2)
    nn.utils.parametrizations.weight_norm(normed[0])
    prune.random_unstructured(masked[0], "weight", 0.5)
    for each in (shared, normed, masked):
        with pytest.raises(ValueError, match=r"0.weight is computed .* compress.bake\(net\) makes"):
            fold(each)
    bake(shared)
    fold(shared)


@pytest.mark.parametrize("pairs", [("0", "1"), "01", [("0", "1", "2")], [0]])
def test_pairs_that_are_no_pairs_of_names_are_refused(pairs):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=r"pairs are tuples of two names.*; got "):
        fold(net, pairs=pairs)
