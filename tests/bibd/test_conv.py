"""Sparse convolutions against the masked dense one, in float64."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bibd import (
    BibdConv2d,
    RandomSparseConv2d,
    SparseConv2d,
    affine_plane,
    from_mask,
    make_pattern,
    truncate,
)
from bibd.conv import MODES
from harness import cost
from harness.stack import stack
from tests.drawn import examples

F64 = torch.float64


def twin(layer: SparseConv2d) -> tuple[nn.Conv2d, torch.Tensor]:
    """A torch convolution with the same numbers, and the mask that keeps it sparse."""
    dense = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
        dtype=F64,
    )
    mask = torch.zeros(layer.shape, dtype=torch.bool)
    for row in range(layer.out_channels):  # one entry of the table at a time
        start, end = layer.pattern.indptr[row : row + 2]
        for place in range(start, end):
            mask[row, layer.pattern.indices[place]] = True
            with torch.no_grad():
                dense.weight[row, layer.pattern.indices[place]] = layer.weight[place]
    with torch.no_grad():
        dense.weight *= mask
        if layer.bias is not None:
            dense.bias.copy_(layer.bias)
    return dense, mask


@st.composite
def geometries(draw):
    """Arguments of nn.Conv2d that fit an image of 7 x 6."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel = draw(st.sampled_from([1, 2, 3, (1, 3), (3, 2)]))
    mode = draw(st.sampled_from(MODES))
    stride = draw(st.sampled_from([1, 2, (1, 2)]))
    paddings = [0, 1, (1, 0), "valid"] + (["same"] if stride == 1 else [])
    return {
        "in_channels": groups * draw(st.integers(1, 9)),
        "out_channels": groups * draw(st.integers(1, 9)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": draw(st.sampled_from(paddings)),
        "dilation": draw(st.sampled_from([1, 2])),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": mode,
    }


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")  # torch on nn.Conv2d too
@examples(120)
@given(
    options=geometries(),
    family=st.sampled_from(["bibd", "iddl", "random", "random_biregular", "block_diagonal"]),
    batch=st.sampled_from([(), (0,), (1,), (3,)]),
    seed=st.integers(0, 1000),
)
def test_equals_the_masked_dense_convolution(options, family, batch, seed):
    torch.manual_seed(seed)
    layer = SparseConv2d(**options, pattern=family, seed=seed, dtype=F64)
    dense, mask = twin(layer)
    if batch == (0,) and layer.padding_mode != "zeros":
        batch = (1,)  # torch pads no empty batch in these modes
    x = torch.randn(*batch, options["in_channels"], 7, 6, dtype=F64, requires_grad=True)
    x_dense = x.detach().clone().requires_grad_()
    y, y_dense = layer(x), dense(x_dense)
    close = {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(y, y_dense, **close)
    g = torch.randn_like(y)
    y.backward(g)
    y_dense.backward(g)
    torch.testing.assert_close(x.grad, x_dense.grad, **close)
    kernels = dense.weight.grad[mask].view(-1, *layer.kernel_size)
    torch.testing.assert_close(layer.weight.grad, kernels, **close)
    if layer.bias is not None:
        torch.testing.assert_close(layer.bias.grad, dense.bias.grad, **close)
    torch.testing.assert_close(layer.to_dense(), dense.weight, rtol=0, atol=0)
    assert layer.to_dense()[~mask].count_nonzero() == 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_by_finite_differences(groups, check):
    options = dict(stride=2, padding=1, groups=groups, dtype=F64)
    layer = SparseConv2d(6, 4, 3, pattern="random", seed=2, **options)

    def call(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    x = torch.randn(2, 6, 4, 5, dtype=F64, requires_grad=True)
    assert check(call, (x, layer.weight, layer.bias))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=1e-2),
    ],
)
def test_trains_like_the_masked_twin(optimizer):
    layer = BibdConv2d(9, 12, 3, padding=1, dtype=F64)
    dense, mask = twin(layer)
    masked = lambda x: F.conv2d(x, dense.weight * mask, dense.bias, padding=1)  # noqa: E731
    steps = [(layer, layer, optimizer(layer.parameters()))]
    steps.append((dense, masked, optimizer(dense.parameters())))
    for k in range(12):
        x = torch.randn(4, 9, 5, 5, generator=torch.Generator().manual_seed(k), dtype=F64)
        for _, call, opt in steps:
            opt.zero_grad()
            call(x).square().mean().backward()
            opt.step()
    full = layer.to_dense().detach()
    assert (full[~mask] == 0).all()
    torch.testing.assert_close(full[mask], dense.weight.detach()[mask], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ["bibd", "iddl", "random", "random_fan_in", "cyclic"])
@pytest.mark.parametrize(
    ("channels", "filters", "groups"),
    [(64, 64, 1), (64, 128, 16), (128, 128, 1), (256, 512, 8), (32, 64, 16), (10, 30, 5)],
)
def test_no_filter_is_dead(family, channels, filters, groups):
    layer = SparseConv2d(channels, filters, 3, groups=groups, pattern=family, seed=1)
    assert layer.pattern.fan_in.min() >= 1
    width = channels // groups
    expected = make_pattern(family, width, filters // groups, 1).nonzeros
    if family != "random" or groups == 1:
        assert layer.weight.numel() == groups * expected * 9  # the count of the family


def test_the_modular_rule_leaves_dead_filters_and_ours_keeps_its_count():
    """128 channels: q = 12 does not fit, and the original study's mask has an empty row."""
    rule = make_pattern("iddl", 128, 128)
    assert (rule.fan_in == 0).sum() == 1
    layer = SparseConv2d(128, 128, 3, pattern="iddl")
    assert layer.weight.numel() == rule.nonzeros * 9 == 1364 * 9
    assert layer.pattern.fan_in.min() == 1
    given = SparseConv2d(128, 128, 3, pattern=rule)  # a table by hand stays as it is
    assert given.pattern.digest() == rule.digest()


def test_each_group_has_a_design_of_its_own():
    layer = SparseConv2d(50, 60, 1, groups=2, pattern="bibd", seed=3)
    parts = [layer.pattern.design(g) for g in range(2)]
    assert layer.pattern.label == "BIBD"
    assert not (parts[0].incidence() == parts[1].incidence()).all()
    same = SparseConv2d(50, 60, 1, groups=2, pattern="bibd")
    assert (same.pattern.design(0).incidence() == same.pattern.design(1).incidence()).all()
    random = SparseConv2d(50, 60, 1, groups=2, pattern="random")
    assert (random.pattern.design(0).incidence() != random.pattern.design(1).incidence()).any()


def test_grouped_is_the_groups_side_by_side():
    torch.manual_seed(0)
    layer = SparseConv2d(10, 12, 3, groups=2, pattern="random_biregular", seed=4, dtype=F64)
    x = torch.randn(3, 10, 6, 6, dtype=F64)
    full = layer.to_dense()
    parts = [F.conv2d(p, w) for p, w in zip(x.chunk(2, 1), full.chunk(2, 0), strict=True)]
    expected = torch.cat(parts, 1) + layer.bias.view(-1, 1, 1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_init():
    torch.manual_seed(0)
    true = SparseConv2d(256, 272, 3, pattern="bibd")
    study = SparseConv2d(256, 272, 3, pattern="iddl", init="dense", bias=False)
    assert true.weight.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.03)
    assert true.bias.abs().max().item() <= (16 * 9) ** -0.5
    assert study.weight.std().item() == pytest.approx((2 / (272 * 9)) ** 0.5, rel=0.03)


def test_cost_is_that_of_the_connections():
    layer = SparseConv2d(64, 128, 3, stride=2, padding=1, pattern="iddl")
    (line,) = cost.layers(nn.Sequential(layer), (64, 32, 32))
    assert line.cost.macs == 16 * 16 * 1024 * 9
    assert line.cost.nonzeros == 1024 * 9
    assert line.cost.bias_adds == 16 * 16 * 128
    full = SparseConv2d(6, 8, 3, groups=2, pattern="dense")
    dense = nn.Conv2d(6, 8, 3, groups=2)
    got, expected = (cost.total(nn.Sequential(m), (6, 9, 9)) for m in (full, dense))
    assert (got.macs, got.nonzeros, got.bias_adds) == (
        expected.macs,
        expected.nonzeros,
        expected.bias_adds,
    )


def test_everything_torch_does_with_a_module():
    layer = SparseConv2d(6, 8, 3, padding=1, pattern="random", seed=1)
    x = torch.randn(2, 6, 5, 5)
    y = layer(x)
    assert torch.equal(copy.deepcopy(layer)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), y)
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(x), y)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    meta = SparseConv2d(6, 8, 3, padding=1, pattern="random", seed=1, device="meta")
    assert meta(x.to("meta")).shape == y.shape
    filled = meta.to_empty(device="cpu")
    filled.reset_parameters()
    filled.load_state_dict(layer.state_dict())
    assert torch.equal(filled(x), y)
    assert layer.double()(x.double()).dtype == F64
    assert layer.to(memory_format=torch.channels_last) is layer


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # inside torch's own jvp of a convolution
def test_transforms():
    layer = SparseConv2d(6, 4, 3, pattern="random", seed=1, dtype=F64)
    x = torch.randn(5, 2, 6, 4, 4, dtype=F64)
    mapped = torch.vmap(layer)(x)
    torch.testing.assert_close(mapped, torch.stack([layer(part) for part in x]))

    def loss(params, sample):
        return torch.func.functional_call(layer, params, sample[None]).square().sum()

    params = {k: v.detach() for k, v in layer.named_parameters()}
    each = torch.vmap(torch.func.grad(loss), (None, 0))(params, x[:, 0])
    for i in range(5):
        alone = torch.func.grad(loss)(params, x[i, 0])
        for name in alone:
            torch.testing.assert_close(each[name][i], alone[name])
    tangent = torch.randn_like(x[0])
    _, forward = torch.func.jvp(layer, (x[0],), (tangent,))
    torch.testing.assert_close(forward, layer(tangent) - layer(torch.zeros_like(tangent)))


def test_stacked_is_looped():
    nets = [SparseConv2d(6, 4, 3, pattern="random", seed=s) for s in range(3)]
    x = torch.randn(3, 2, 6, 5, 5)
    together = stack(nets)
    expected = torch.stack([net(part) for net, part in zip(nets, x, strict=True)])
    assert torch.equal(together(x), expected)
    assert not any(p is q for p in together.parameters() for n in nets for q in n.parameters())


def test_state_dict_belongs_to_its_pattern():
    layer = SparseConv2d(8, 8, 3, groups=2, pattern="random", seed=1)
    state = layer.state_dict()
    assert set(state) == {"weight", "bias", "_extra_state"}
    assert len(state["_extra_state"]) < 300
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    SparseConv2d(8, 8, 3, groups=2, pattern="random", seed=1).load_state_dict(torch.load(buffer))
    with pytest.raises(RuntimeError, match=r"groups=2, seed=1.*this layer\s+has.*groups=2, seed=5"):
        SparseConv2d(8, 8, 3, groups=2, pattern="random", seed=5).load_state_dict(state)


def test_from_dense():
    source = SparseConv2d(8, 6, 3, stride=2, groups=2, pattern="random", seed=1, dtype=F64)
    weight, bias = source.to_dense().detach(), source.bias.detach()
    x = torch.randn(2, 8, 7, 7, dtype=F64)
    again = SparseConv2d.from_dense(weight, bias, source.pattern, stride=2, groups=2)
    assert torch.equal(again(x), source(x))
    named = BibdConv2d.from_dense(torch.randn(20, 16, 3, 3), strict=False)
    assert named.bias is None
    assert named.pattern.label == "BIBD"
    with pytest.raises(ValueError, match=r"9\d\.\d% of the weight .*strict=False"):
        SparseConv2d.from_dense(torch.randn(512, 256, 3, 3), pattern="bibd")
    mask = from_mask((weight[:3] != 0).any((2, 3)))
    part = SparseConv2d.from_dense(weight[:3], bias[:3], mask, stride=2)
    torch.testing.assert_close(part(x[:, :4]), source(x)[:, :3])


def test_designs_and_names():
    design = truncate(affine_plane(5), 25, 25)
    layer = SparseConv2d(25, 25, 1, pattern=design)
    assert torch.equal(layer.to_dense()[..., 0, 0] != 0, torch.from_numpy(design.incidence()))
    text = repr(BibdConv2d(49, 56, 3, stride=2, padding=1, bias=False))
    assert "pattern=bibd(49, 56) [BIBD]" in text
    assert "stride=(2, 2), padding=(1, 1)" in text
    grouped = repr(SparseConv2d(64, 64, 1, pattern="block_diagonal"))
    assert "grouped(64, 64) [irregular]" in grouped
    assert RandomSparseConv2d(9, 12, 3, 1, 1, seed=3).padding == (1, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(groups=3), "groups=3 must divide"),
        (dict(groups=16), "more groups than channels"),
        (dict(kernel_size=0), "kernel_size must be a whole number of at least 1"),
        (dict(stride=(1, 2, 3)), "or two of them"),
        (dict(padding="samee"), "padding must be one of same, valid"),
        (dict(padding="same", stride=2), "needs stride 1"),
        (dict(padding_mode="wrap"), "padding_mode must be one of zeros"),
        (dict(pattern="bibdd"), "did you mean 'bibd'"),
        (dict(pattern=affine_plane(3)), "9 points, 12 blocks does not fit"),
        (dict(pattern=make_pattern("bibd", 8, 8), groups=2), "this layer has 8 and 8 in 2 groups"),
    ],
)
def test_wrong_input(options, words):
    with pytest.raises(ValueError, match=words):
        SparseConv2d(**(dict(in_channels=8, out_channels=8, kernel_size=3) | options))
