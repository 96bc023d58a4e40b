"""Sparse layers against the masked dense layer, in float64."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import bibd
from bibd import BibdLinear, RandomSparseLinear, SparseLinear, make_pattern
from bibd.layer import INITS

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


@settings(deadline=None, max_examples=60)
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


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_copies_and_files(backend):
    layer = SparseLinear(600, 500, "random", seed=3, backend=backend)
    x = torch.randn(4, 600)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    fresh = SparseLinear(600, 500, "random", seed=3, backend=backend)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(x), layer(x))


def test_a_checkpoint_of_another_pattern_is_refused():
    saved = SparseLinear(64, 72, "random", seed=1).state_dict()
    with pytest.raises(
        RuntimeError, match=r"random\(64, 72, seed=1\).*this layer has random.*seed=2"
    ):
        SparseLinear(64, 72, "random", seed=2).load_state_dict(saved)


def test_transforms_and_compile_see_the_layer():
    layer = SparseLinear(600, 500, "iddl", dtype=F64)  # large enough that auto measures
    x = torch.randn(5, 600, dtype=F64)
    expected = layer(x)
    torch.testing.assert_close(torch.vmap(layer)(x), expected)
    values = dict(layer.named_parameters())

    def loss(values, sample):
        return torch.func.functional_call(layer, values, sample).square().sum()

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, x)
    whole = torch.autograd.grad(layer(x).square().sum(), list(values.values()))
    for got, want in zip(each.values(), whole, strict=True):
        torch.testing.assert_close(got.sum(0), want)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert copy.deepcopy(layer).float()(x.float()).dtype == torch.bfloat16
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), expected)


def test_meta_device_then_real():
    layer = SparseLinear(25, 30, device="meta")
    assert layer(torch.empty(2, 25, device="meta")).shape == (2, 30)
    layer.to_empty(device="cpu").reset_parameters()
    reference = SparseLinear(25, 30)
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 25)
    assert torch.equal(layer(x), reference(x))


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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"init": "xavier"}, "init must be one of true, dense, got 'xavier'"),
        ({"backend": "cuda"}, "backend must be one of auto, dense, bag, native, got 'cuda'"),
        ({"pattern": "bibdd"}, "unknown pattern 'bibdd'"),
        (
            {"pattern": make_pattern("iddl", 9, 9)},
            "for 9 inputs and 9 outputs, this layer has 10 and 7",
        ),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        SparseLinear(10, 7, **options)


def test_the_package_offers_what_it_lists():
    for name in bibd.__all__:
        assert getattr(bibd, name) is not None
    assert INITS == ("true", "dense")
    with pytest.raises(AttributeError, match="it has BibdConv2d, BibdLinear"):
        bibd.nothing  # noqa: B018


@pytest.mark.parametrize("way", ["assign", "to_empty"])
def test_a_skeleton_on_the_meta_device_takes_a_state(way):
    saved = BibdLinear(64, 64)
    with torch.device("meta"):
        layer = BibdLinear(64, 64)
    if way == "assign":
        layer.load_state_dict(saved.state_dict(), assign=True)
    else:
        layer.to_empty(device="cpu").load_state_dict(saved.state_dict())
    x = torch.randn(3, 64)
    assert torch.equal(layer(x), saved(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")  # torch's own forward-mode rules use it
def test_large_layers_take_forward_mode_and_batched_gradients():
    """(Those that auto sends to the bag path otherwise.)"""
    layer = SparseLinear(600, 500, "iddl", dtype=F64)
    x, tangent = torch.randn(2, 600, dtype=F64), torch.randn(2, 600, dtype=F64)
    weight = layer.to_dense().detach()
    with torch.autograd.forward_ad.dual_level():
        dual = layer(torch.autograd.forward_ad.make_dual(x, tangent))
        got = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(got, tangent @ weight.t())
    x.requires_grad_()
    seeds = torch.eye(500, dtype=F64)[:3, None].expand(3, 2, 500)
    (rows,) = torch.autograd.grad(layer(x), x, seeds, is_grads_batched=True)
    torch.testing.assert_close(rows[:, 1], weight[:3])


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


def test_states_are_tensors_all_through():
    state = {k: v.clone() for k, v in BibdLinear(9, 12).state_dict().items()}
    layer = BibdLinear(9, 12)
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, state["weight"])
    assert state["_extra_state"].numel() < 300
    assert BibdLinear(9, 12, False).bias is None


def test_designs_and_patterns_of_ones_own():
    layer = SparseLinear(9, 12, bibd.affine_plane(3))
    assert repr(layer).startswith("SparseLinear(9, 12, pattern=AG(2,3)(9, 12)")
    with pytest.raises(ValueError, match="seed=3 and nonzeros=None would do nothing"):
        SparseLinear(9, 12, make_pattern("iddl", 9, 12), seed=3)
    for indices in ([0, 0], [1, 0], [0, 9], [-1, 0]):
        with pytest.raises(ValueError, match="ascending, distinct inputs below 9"):
            bibd.Pattern("own", 9, 1, np.array([0, 2]), np.array(indices))
    with pytest.raises(ValueError, match="unknown pattern: a NoneType"):
        SparseLinear(9, 12, None)


def bag_and_twin(sizes=(40, 30)):
    layer = SparseLinear(*sizes, "random", seed=2, backend="bag", dtype=F64)
    twin = copy.deepcopy(layer)
    twin.backend = "dense"
    return layer, twin


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("name", ["jacrev", "jacfwd", "hessian"])
def test_the_bag_path_leaves_transforms_to_the_dense_one(name):
    layer, twin = bag_and_twin()
    transform, x = getattr(torch.func, name), torch.randn(40, dtype=F64)

    def through(net):
        return transform(lambda x: net(x).square().sum())(x)

    torch.testing.assert_close(through(layer), through(twin))


def test_the_bag_path_leaves_compilers_meta_tensors_and_autocast_to_the_dense_one():
    layer, twin = bag_and_twin()
    x = torch.randn(3, 40, dtype=F64)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), twin(x))
    assert copy.deepcopy(layer).to("meta")(x.to("meta")).shape == (3, 30)
    layer, linear = layer.float(), nn.Linear(40, 30)
    for kind in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=kind):
            assert layer(x.float()).dtype == linear(x.float()).dtype == kind
    assert layer.path(x.float()) == "bag"


@pytest.mark.parametrize("backend", [*BACKENDS, "native"])
def test_values_written_over_before_the_backward_pass_are_an_error(backend):
    """As of nn.Linear, and where it is none there, the input needing no gradient, it is none."""
    layer, dense = SparseLinear(64, 72, backend=backend), nn.Linear(64, 72)
    for net in (layer, dense):
        y = net(torch.randn(3, 64, requires_grad=True)).sum()
        with torch.no_grad():
            net.weight.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
    y = layer(torch.randn(3, 64, requires_grad=True)).sum()
    y.backward(retain_graph=True)
    y.backward()


def test_a_nan_stays_with_the_outputs_that_read_it_except_on_the_dense_path():
    """As the docs of the layer say."""
    x = torch.ones(1, 64)
    x[0, 5] = float("nan")
    for backend in ("bag", "native", "dense"):
        layer = BibdLinear(64, 72, backend=backend)
        reads = torch.from_numpy(layer.pattern.mask()[:, 5].copy())
        want = torch.ones(72, dtype=torch.bool) if backend == "dense" else reads
        assert torch.equal(layer(x)[0].isnan(), want)


def test_checkpoints_that_name_no_pattern_are_taken_with_a_warning():
    saved = SparseLinear(64, 72, "random", seed=1).state_dict()
    layer = nn.Sequential(SparseLinear(64, 72, "random", seed=2))
    for state in (
        {f"0.{k}": None if "extra" in k else v for k, v in saved.items()},
        {f"0.{k}": v for k, v in saved.items() if "extra" not in k},
    ):
        with pytest.warns(UserWarning, match=r"0.weight comes without .*belong to random.*seed=2"):
            layer.load_state_dict(state, strict=False)
        assert torch.equal(layer[0].weight, saved["weight"])
    with (
        pytest.warns(UserWarning, match="without the name of its pattern"),
        pytest.raises(RuntimeError, match=r"Missing key.*_extra_state"),
    ):
        layer.load_state_dict(state)


def put(module, name, value):
    """As loaders do that go through a file name by name, such as accelerate's."""
    if name not in module._parameters and name not in module._buffers:
        raise ValueError(f"{module} does not have a parameter or a buffer named {name}.")
    if name in module._buffers:
        module._buffers[name] = value
    else:
        module._parameters[name] = nn.Parameter(value)


def test_loaders_that_go_by_names_find_theirs_and_the_pattern_is_checked():
    saved = SparseLinear(64, 72, "random", seed=1)
    same, other = (SparseLinear(64, 72, "random", seed=s, device="meta") for s in (1, 2))
    for layer in (same, other):
        for name, value in saved.state_dict().items():
            put(layer, name, value)
    x = torch.randn(3, 64)
    assert torch.equal(same(x), saved(x))
    assert same.state_dict().keys() == saved.state_dict().keys()
    with pytest.raises(ValueError, match=r"belong to pattern random.*seed=1.*has random.*seed=2"):
        other(x)
