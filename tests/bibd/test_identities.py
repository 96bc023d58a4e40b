"""What design theory says of the layers, in float64."""

import pytest
import torch
import torch.nn.functional as F

from bibd import (
    SparseConv2d,
    SparseLinear,
    affine_plane,
    complement,
    dual,
    from_mask,
    make_pattern,
    singer,
    tiled,
)
from bibd.design import difference_set

F64 = torch.float64
CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def made(pattern, v, b, **options) -> SparseLinear:
    torch.manual_seed(1)
    return SparseLinear(v, b, pattern, bias=False, dtype=F64, **options)


@pytest.mark.parametrize("backend", ["dense", "bag"])
@pytest.mark.parametrize("q", [2, 3, 4, 5, 8])
def test_the_dual_design_is_the_adjoint_layer(q, backend):
    """<W x, y> = <x, W' y>, where W' is a layer on the dual design."""
    design = affine_plane(q)
    layer = made(design, design.v, design.b, backend=backend)
    weight = layer.to_dense().detach().t()
    adjoint = SparseLinear.from_dense(weight, None, dual(design), backend=backend)
    x, y = torch.randn(4, design.v, dtype=F64), torch.randn(4, design.b, dtype=F64)
    torch.testing.assert_close((layer(x) * y).sum(1), (x * adjoint(y)).sum(1), **CLOSE)


def test_contraction_takes_the_dual_of_the_plane():
    layer = made("bibd_dual", 30, 25)
    plain = make_pattern("bibd", 25, 30)
    assert torch.equal(layer.to_dense().t() != 0, torch.from_numpy(plain.mask()))
    assert dual(layer.pattern.design()).b == 30


@pytest.mark.parametrize("q", [2, 3, 4, 5, 7])
def test_a_cyclic_design_with_shared_values_is_a_circulant(q):
    """Output t reads D + t, so one value per element of D makes a sum of rolled inputs."""
    v, base = q * q + q + 1, difference_set(q)
    values = dict(zip(base, torch.randn(len(base), dtype=F64).tolist(), strict=True))
    layer = made(singer(q), v, v)
    offsets = (layer.pattern.indices - layer.pattern.rows) % v
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([values[d] for d in offsets.tolist()], dtype=F64))
    x = torch.randn(3, v, dtype=F64)
    rolled = sum(value * x.roll(-d, dims=1) for d, value in values.items())
    torch.testing.assert_close(layer(x), rolled, **CLOSE)


@pytest.mark.parametrize("q", [2, 3, 4, 5, 8, 9])
def test_a_resolvable_design_is_grouped_layers_side_by_side(q):
    """AG(2, q): each parallel class is a permutation of the inputs and then q groups of q."""
    design = affine_plane(q)
    layer = made(design, design.v, design.b)
    x = torch.randn(3, design.v, dtype=F64)
    blocks, values = design.indices.reshape(q + 1, q, q), layer.weight.view(q + 1, q, q)
    parts = []
    for lines, weight in zip(blocks, values, strict=True):
        order = torch.from_numpy(lines.ravel().copy())
        assert sorted(order.tolist()) == list(range(design.v))
        parts.append(F.conv1d(x[:, order, None], weight.unsqueeze(-1), groups=q)[..., 0])
    torch.testing.assert_close(layer(x), torch.cat(parts, 1), **CLOSE)


@pytest.mark.parametrize("t", [1, 2, 4])
def test_a_tiled_design_is_a_kronecker_product(t):
    small = affine_plane(3)
    layer = made(tiled(small, t), small.v * t, small.b * t)
    coarse = torch.randn(small.b, small.v, dtype=F64) * torch.from_numpy(small.incidence())
    full = torch.kron(coarse, torch.ones(t, t, dtype=F64))
    layer.load_dense(full)
    x = torch.randn(2, small.v * t, dtype=F64)
    sums = x.view(2, small.v, t).sum(2)
    torch.testing.assert_close(layer(x), (sums @ coarse.t()).repeat_interleave(t, 1), **CLOSE)
    assert make_pattern("tiled", 36, 48).nonzeros == 16 * make_pattern("bibd", 9, 12).nonzeros


def test_a_design_and_its_complement_make_the_dense_layer():
    design = affine_plane(4)
    weight = torch.randn(20, 16, dtype=F64)
    x = torch.randn(5, 16, dtype=F64)
    parts = [
        SparseLinear.from_dense(weight, None, d, strict=False) for d in (design, complement(design))
    ]
    torch.testing.assert_close(sum(part(x) for part in parts), F.linear(x, weight), **CLOSE)


def test_inputs_and_points_under_one_permutation_change_nothing():
    layer = made("bibd", 49, 56)
    order = torch.randperm(49)
    weight = layer.to_dense().detach()[:, order]
    moved = SparseLinear.from_dense(weight, None, from_mask(weight != 0))
    x = torch.randn(2, 49, dtype=F64)
    torch.testing.assert_close(moved(x[:, order]), layer(x), **CLOSE)
    assert moved.pattern.label == "BIBD"


def test_the_singular_values_of_a_layer_of_ones_are_those_of_the_plane():
    """sqrt(r k) once, then sqrt(r - lam) for every other direction: nothing is favoured."""
    for q in (3, 4, 8):
        layer = made("bibd", q * q, q * q + q)
        torch.nn.init.ones_(layer.weight)
        values = torch.linalg.svdvals(layer.to_dense())
        expected = torch.tensor([(q * (q + 1)) ** 0.5] + [q**0.5] * (q * q - 1), dtype=F64)
        torch.testing.assert_close(values, expected, **CLOSE)


def test_a_one_by_one_convolution_is_the_linear_layer_at_every_pixel():
    linear = made("bibd", 25, 30)
    conv = SparseConv2d(25, 30, 1, bias=False, pattern="bibd", dtype=F64)
    with torch.no_grad():
        conv.weight.copy_(linear.weight.view(-1, 1, 1))
    x = torch.randn(2, 25, 4, 3, dtype=F64)
    torch.testing.assert_close(conv(x), linear(x.movedim(1, -1)).movedim(-1, 1), **CLOSE)


def test_signals_keep_their_size_by_the_true_fan_in():
    """Through four layers with ReLU; by the width of the input each would shrink them 64-fold."""
    torch.manual_seed(0)
    true = study = torch.randn(512, 4096)
    for _ in range(4):
        true = SparseLinear(4096, 4096, "bibd", bias=False)(true).relu()
        study = SparseLinear(4096, 4096, "bibd", bias=False, init="dense")(study).relu()
    assert true.square().mean().item() == pytest.approx(1, rel=0.1)
    assert study.square().mean().item() == pytest.approx(64.0**-4, rel=0.1)
