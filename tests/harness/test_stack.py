"""A stack sees what its members would see alone."""

import copy

import pytest
import torch
from torch import nn

from bibd import SparseLinear
from harness.stack import Loop, StackedLinear, Vmapped, stack

F64 = torch.float64


def sequential():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))


CASES = {
    "linear": (lambda: nn.Linear(6, 3), (4, 6)),
    "sequential": (sequential, (4, 6)),
    "sparse": (lambda: SparseLinear(6, 9, "iddl"), (4, 6)),
    "sparse, patterns differ": (lambda: SparseLinear(6, 9, "random", bias=False), (4, 6)),
    "sparse, bag": (lambda: SparseLinear(6, 9, "random", backend="bag"), (4, 6)),
    "sparse, bag, no bias": (lambda: SparseLinear(6, 9, bias=False, backend="bag"), (4, 6)),
    "conv": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten()),
        (4, 2, 5, 5),
    ),
    "layer norm": (lambda: nn.LayerNorm(6), (4, 6)),
    "recurrent": (lambda: First(nn.GRU(6, 4, batch_first=True)), (4, 3, 6)),
}


class First(nn.Module):
    """The output of a module that returns several things."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)[0]


@pytest.mark.parametrize("name", CASES)
def test_members_and_their_gradients(name):
    make, shape = CASES[name]
    torch.manual_seed(0)
    members = [make().to(F64) for _ in range(3)]
    together = stack([copy.deepcopy(m) for m in members])
    x = torch.randn(3, *shape, dtype=F64)
    xs = x.clone().requires_grad_()
    out = together(xs)
    g = torch.randn_like(out)
    out.backward(g)
    for i, member in enumerate(members):
        alone = x[i].clone().requires_grad_()
        y = member(alone)
        y.backward(g[i])
        torch.testing.assert_close(out[i], y, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(xs.grad[i], alone.grad, rtol=1e-11, atol=1e-11)
    mine = sum(p.grad.sum() for m in members for p in m.parameters())
    theirs = sum(p.grad.sum() for p in together.parameters())
    torch.testing.assert_close(theirs, mine, rtol=1e-10, atol=1e-10)
    assert sum(p.numel() for p in together.parameters()) == sum(
        p.numel() for m in members for p in m.parameters()
    )


def test_which_road_is_taken():
    assert isinstance(stack([nn.Linear(2, 2)] * 2), StackedLinear)
    assert isinstance(stack([nn.LayerNorm(2)] * 2), Vmapped)
    assert isinstance(stack([First(nn.GRU(2, 2)), First(nn.GRU(2, 2))]), Loop)


def test_buffers_move_per_member():
    norms = [nn.BatchNorm1d(4) for _ in range(2)]
    together = stack([copy.deepcopy(m) for m in norms])
    x = torch.randn(2, 8, 4)
    together(x)
    for i, norm in enumerate(norms):
        norm(x[i])
        torch.testing.assert_close(together.running_mean[i], norm.running_mean)
    together.eval()
    torch.testing.assert_close(together(x)[1], norms[1].eval()(x[1]))


def test_modules_of_two_classes_are_refused():
    with pytest.raises(
        ValueError, match="only modules of one class can be stacked, got Linear, ReLU"
    ):
        stack([nn.Linear(2, 2), nn.ReLU()])


@pytest.mark.parametrize("name", CASES)
def test_members_that_read_one_input_see_what_they_would_see_alone(name):
    make, shape = CASES[name]
    torch.manual_seed(0)
    members = [make().to(F64).eval() for _ in range(3)]
    together = stack([copy.deepcopy(m) for m in members]).eval()
    x = torch.randn(shape, dtype=F64)
    once, own = (x.clone().requires_grad_() for _ in range(2))
    out = together(once.expand(3, *shape))
    made = torch.stack([member(own) for member in members])
    torch.testing.assert_close(out, made)
    g = torch.randn_like(out)
    out.backward(g)
    made.backward(g)
    torch.testing.assert_close(once.grad, own.grad)


def test_one_input_is_not_copied_for_every_member(monkeypatch):
    layers, seen = stack([nn.Linear(6, 5) for _ in range(3)]), []
    product = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda *t: seen.append(t[2].stride(0)) or product(*t))
    assert layers(torch.randn(4, 6).expand(3, 4, 6)).shape == (3, 4, 5)
    assert seen == [0]


def test_few_samples_of_one_input_are_one_wide_product(monkeypatch):
    members = [nn.Linear(512, 512) for _ in range(2)]
    layers, x = stack(members), torch.randn(2, 512)
    with torch.no_grad():
        many = layers(x.expand(2, 2, 512).contiguous())
        monkeypatch.setattr(torch, "baddbmm", None)
        torch.testing.assert_close(layers(x.expand(2, 2, 512)), many)


@pytest.mark.parametrize("bias", [True, False])
def test_an_inner_layer_gives_the_gradient_of_its_input_in_the_layout_of_that(bias):
    members = [nn.Linear(6, 3, bias).to(F64) for _ in range(2)]
    rows = torch.randn(2, 4, 6, dtype=F64)
    columns = rows.mT.contiguous().mT
    found = []
    for x in (rows, columns):
        layer, x = stack(members), x.detach().requires_grad_()
        out = layer(x)
        found.append((out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])))
        assert found[-1][1].stride() == x.stride()
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
