"""Sparse layers against the masked dense layer, in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import bibd
from bibd import BibdLinear, RandomSparseLinear, SparseLinear
from bibd.layer import INITS
from tests.drawn import examples

BACKENDS = ["dense", "bag"]
F64 = torch.float64


def twin(layer: SparseLinear) -> tuple[nn.Linear, torch.Tensor]:
    """A dense layer with the same numbers, and the mask that keeps it sparse."""
    dense = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, dtype=F64)
    mask = torch.from_numpy(layer.pattern.mask().copy())
    weight = torch.zeros(layer.shape, dtype=F64)
    weight[mask] = layer.weight.detach()
    with torch.no_grad():
        dense.weight.copy_(weight)
        if layer.bias is not None:
            dense.bias.copy_(layer.bias)
    return dense, mask


@examples(60)
@given(
    backend=st.sampled_from(BACKENDS),
    family=st.sampled_from(["iddl", "random", "dense"]),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    batch=st.sampled_from([(), (0,), (1,), (5,), (2, 3), (2, 0, 3)]),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_the_masked_dense_layer(backend, family, sizes, batch, bias, seed):
    torch.manual_seed(seed)
    layer = SparseLinear(*sizes, family, bias, seed, backend=backend, dtype=F64)
    dense, mask = twin(layer)
    x = torch.randn(*batch, sizes[0], dtype=F64, requires_grad=True)
    x_dense = x.detach().clone().requires_grad_()
    y, y_dense = layer(x), F.linear(x_dense, dense.weight * mask, dense.bias)
    torch.testing.assert_close(y, y_dense, rtol=1e-12, atol=1e-12)
    g = torch.randn_like(y)
    y.backward(g)
    y_dense.backward(g)
    close = {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(x.grad, x_dense.grad, **close)
    torch.testing.assert_close(layer.weight.grad, dense.weight.grad[mask], **close)
    if bias:
        torch.testing.assert_close(layer.bias.grad, dense.bias.grad, **close)
    torch.testing.assert_close(layer.to_dense(), dense.weight, rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_by_finite_differences(backend, check):
    layer = SparseLinear(10, 7, "random", seed=2, backend=backend, dtype=F64)

    def call(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    x = torch.randn(3, 10, dtype=F64, requires_grad=True)
    assert check(call, (x, layer.weight, layer.bias))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=1e-2),
    ],
)
def test_masked_entries_stay_zero_and_the_rest_trains_like_the_masked_twin(backend, optimizer):
    layer = SparseLinear(30, 20, "iddl", backend=backend, dtype=F64)
    dense, mask = twin(layer)
    steps = [(layer, optimizer(layer.parameters())), (dense, optimizer(dense.parameters()))]
    for k in range(20):
        x = torch.randn(8, 30, generator=torch.Generator().manual_seed(k), dtype=F64)
        for net, opt in steps:
            y = net(x) if net is layer else F.linear(x, dense.weight * mask, dense.bias)
            opt.zero_grad()
            y.square().mean().backward()
            opt.step()
    full = layer.to_dense().detach()
    assert (full[~mask] == 0).all()
    torch.testing.assert_close(full[mask], dense.weight.detach()[mask], rtol=1e-10, atol=1e-12)


def test_the_parameter_is_the_true_count():
    for hidden, total in [((16, 20), 728), ((25, 30), 1150), ((36, 42), 1680), ((49, 56), 2324)]:
        widths = (784, *hidden)
        layers = [SparseLinear(a, b, "iddl", False) for a, b in zip(widths, hidden, strict=False)]
        numbers = sum(p.numel() for layer in layers for p in layer.parameters())
        assert numbers + 10 * hidden[-1] == total


def test_init_follows_the_fan_in():
    torch.manual_seed(0)
    true = SparseLinear(1024, 1056, "iddl", init="true")
    dense = SparseLinear(1024, 1056, "iddl", init="dense")
    assert true.weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.03)
    assert dense.weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.03)
    assert true.bias.abs().max().item() <= 32**-0.5
    x = torch.randn(512, 1024)
    assert (true(x) - true.bias).std().item() == pytest.approx(2**0.5, rel=0.05)


def test_random_layers_differ_and_torch_seeds_them():
    def patterns(seed):
        torch.manual_seed(seed)
        return [RandomSparseLinear(64, 72).pattern.digest() for _ in range(2)]

    assert patterns(0)[0] != patterns(0)[1]
    assert patterns(0) == patterns(0) != patterns(1)


def test_bfloat16_and_half_take_the_dense_path():
    for dtype in (torch.bfloat16, torch.float16):
        layer = SparseLinear(600, 500, dtype=dtype)
        assert layer(torch.randn(2, 600, dtype=dtype)).dtype == dtype


def test_repr_says_what_it_is():
    original = repr(SparseLinear(784, 49, "iddl", bias=False))
    assert "pattern=iddl(784, 49) [packing], nonzeros=1372 (3.57%), bias=False" in original
    assert "pattern=bibd(1024, 1056) [BIBD], nonzeros=33792" in repr(BibdLinear(1024, 1056))
    assert "pattern=grouped(64, 64) [irregular]" in repr(SparseLinear(64, 64, "block_diagonal"))
    assert "[irregular]" in repr(SparseLinear(64, 72, "iddl"))
    assert "[dense]" in repr(SparseLinear(8, 8, "dense"))
    assert "(3.46%), unread inputs=513, bias" in repr(BibdLinear(784, 10))
    assert SparseLinear(64, 72, "random", nonzeros=100).weight.numel() == 100
    with pytest.raises(ValueError, match="pattern bibd has a count of its own"):
        SparseLinear(64, 72, nonzeros=100)


def test_from_dense():
    source = SparseLinear(30, 20, "random", seed=3, dtype=F64)
    weight, bias = source.to_dense().detach(), source.bias.detach()
    x = torch.randn(4, 30, dtype=F64)
    again = SparseLinear.from_dense(weight, bias, "random", seed=3)
    assert again.weight.dtype == F64
    assert torch.equal(again(x), source(x))
    masked = SparseLinear.from_dense(weight, bias, bibd.from_mask(weight != 0))
    torch.testing.assert_close(masked(x), source(x))
    assert masked.weight.numel() == source.weight.numel()
    full = torch.ones(72, 64)
    with pytest.raises(ValueError, match=r"87\.5% of the weight .* bibd\(64, 72\) .*strict=False"):
        SparseLinear.from_dense(full, None, "bibd")
    part = BibdLinear.from_dense(full, strict=False)
    assert (part.to_dense() == torch.from_numpy(part.pattern.mask())).all()
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        SparseLinear.from_dense(torch.ones(3))
    with pytest.raises(ValueError, match=r"expected a weight of shape \(20, 30\)"):
        source.load_dense(weight.t())
    with pytest.raises(ValueError, match="has a bias, but none was given"):
        source.load_dense(weight)


def test_the_package_offers_what_it_lists():
    for name in bibd.__all__:
        assert getattr(bibd, name) is not None
    assert INITS == ("true", "dense")
    with pytest.raises(AttributeError, match="it has BibdConv2d, BibdLinear"):
        bibd.nothing  # noqa: B018


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_infinite_weight_spoils_only_what_it_touches(backend):
    layer = SparseLinear(16, 20, "iddl", backend=backend, dtype=F64)
    with torch.no_grad():
        layer.weight[0] = float("inf")
    layer(torch.rand(3, 16, dtype=F64))[:, 1:].sum().backward()
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("backend", [*BACKENDS, "auto", "native"])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(8, 300), r"got torch.float32 of shape \(8, 300\): make the layer as wide"),
        (torch.zeros(8, 1, 20, 30), r"of shape \(8, 1, 20, 30\): x.flatten\(1\)"),
        (torch.zeros(8, 600, 4), r"of shape \(8, 600, 4\): x.movedim\(1, -1\)"),
        (torch.zeros(()), r"of shape \(\)"),
        (torch.zeros(8, 600, dtype=F64), r"x.to\(torch.float32\), or layer.to\(torch.float64\)"),
        (torch.zeros(8, 600, dtype=torch.int64), r"got torch.int64 .*: x.to\(torch.float32\)$"),
    ],
)
def test_wrong_inputs_are_told_alike_on_every_path(backend, x, words):
    layer = SparseLinear(600, 500, backend=backend)
    start = r"SparseLinear\(600, 500\) takes torch.float32 input of shape \(..., 600\), "
    for _ in range(2):  # nor is a wrong kind remembered as a right one
        with pytest.raises(ValueError, match=start + ".*" + words):
            layer(x)


def test_a_nan_stays_with_the_outputs_that_read_it_except_on_the_dense_path():
    """As the docs of the layer say."""
    x = torch.ones(1, 64)
    x[0, 5] = float("nan")
    for backend in ("bag", "native", "dense"):
        layer = BibdLinear(64, 72, backend=backend)
        reads = torch.from_numpy(layer.pattern.mask()[:, 5].copy())
        want = torch.ones(72, dtype=torch.bool) if backend == "dense" else reads
        assert torch.equal(layer(x)[0].isnan(), want)
