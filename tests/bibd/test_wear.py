"""What users do to modules: averages, meta devices, tracing, stacks, and strange values."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

import bibd
from bibd import BibdLinear, SparseConv2d, SparseLinear, make_pattern

X = torch.randn(3, 64)
NAMELESS = "without the name of its pattern .* belong to bibd.64, 72.: save all of state_dict"


@pytest.mark.parametrize("decay", [0.9, 0.99998])
def test_an_average_of_models_does_not_move_connections(decay):
    layer = BibdLinear(64, 72)
    average = AveragedModel(layer, avg_fn=get_ema_avg_fn(decay), use_buffers=True)
    for _ in range(10):
        average.update_parameters(layer)
    torch.testing.assert_close(average(X), layer(X))
    assert torch.equal(average.module.flat, layer.flat)
    layer.flat.zero_()  # whoever does it
    torch.testing.assert_close(layer(X), average(X))


def test_an_average_of_stacks_does_not_either():
    stack = made(1, 2)
    average = AveragedModel(stack, avg_fn=get_ema_avg_fn(0.9), use_buffers=True)
    for _ in range(10):
        average.update_parameters(stack)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(average(x), stack(x))
    stack.flat.zero_()
    torch.testing.assert_close(average(x), stack(x))


def test_values_alone_are_enough_for_a_meta_layer():
    layer = BibdLinear(64, 72)
    values = {k: v for k, v in layer.state_dict().items() if "extra" not in k}
    assigned = BibdLinear(64, 72, device="meta")
    with pytest.warns(UserWarning, match=NAMELESS):
        assigned.load_state_dict(values, strict=False, assign=True)
    assert torch.equal(assigned(X), layer(X))
    emptied = BibdLinear(64, 72, device="meta").to_empty(device="cpu")
    with pytest.warns(UserWarning, match=NAMELESS):
        emptied.load_state_dict(values, strict=False)
    assert torch.equal(emptied(X), layer(X))
    skipped = nn.utils.skip_init(SparseLinear, 64, 72)
    with pytest.warns(UserWarning, match=NAMELESS):
        skipped.load_state_dict(values, strict=False)
    assert torch.equal(skipped(X), layer(X))
    assert torch.equal(copy.deepcopy(layer)(X), pickle.loads(pickle.dumps(layer))(X))
    assert layer.type(torch.float64)(X.double()).dtype == torch.float64


def test_default_devices_do_not_leak():
    with torch.device("meta"):
        layer = SparseLinear(64, 72, device="cpu")
    large = BibdLinear(1024, 1056)
    x = torch.randn(2, 1024)
    with torch.device("meta"):
        y = large(x)
    assert y.device.type == layer.weight.device.type == "cpu"
    torch.testing.assert_close(y, nn.functional.linear(x, large.to_dense(), large.bias))


def test_tracers_can_follow():
    net = nn.Sequential(
        SparseConv2d(4, 8, 3, padding=1, padding_mode="reflect"), nn.Flatten(), BibdLinear(512, 520)
    )
    x = torch.randn(2, 4, 8, 8)
    followed = torch.fx.symbolic_trace(net)
    torch.testing.assert_close(followed(x), net(x))
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils.flop_counter import FlopCounterMode

    torch.testing.assert_close(make_fx(net)(x)(x), net(x))
    with FlopCounterMode(display=False) as counter:
        net(x)
    assert counter.get_total_flops() > 0
    sparse = torch.eye(512).to_sparse()
    torch.testing.assert_close(net[2](sparse), net[2](torch.eye(512)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_jit_trace():
    layer, x = BibdLinear(1024, 1056), torch.randn(2, 1024)
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), layer(x))


def made(*seeds, size=(16, 20)):
    return SparseLinear.stack([SparseLinear(*size, "random", seed=s) for s in seeds])


def test_a_stack_knows_its_patterns():
    a, b, same = made(1, 2), made(3, 4), made(1, 2)
    with pytest.raises(RuntimeError, match="these values belong to pattern"):
        b.load_state_dict(a.state_dict())
    same.load_state_dict(a.state_dict())
    x = torch.randn(2, 5, 16)
    assert torch.equal(same(x), a(x))
    meta = made(1, 2).to("meta").to_empty(device="cpu")
    meta.load_state_dict(a.state_dict())
    assert torch.equal(meta(x), a(x))


def test_a_stack_refuses_what_does_not_fit():
    large = made(1, 2, size=(1024, 1056))
    for shape in [(2, 3, 1200), (3, 3, 1024), (2, 1024)]:
        with pytest.raises(ValueError, match=r"takes torch.float32 input of shape \(2"):
            large(torch.randn(shape))
    first = SparseLinear(16, 20, "random", seed=1)
    for other, words in (
        (SparseLinear(16, 20, bias=False), "same number of connections|same bias"),
        (SparseLinear(16, 20, "random", False, seed=2), "same bias"),
        (SparseLinear(16, 21, "random"), "same shape"),
        (SparseLinear(16, 20, "random", dtype=torch.float64), "same dtype"),
    ):
        with pytest.raises(ValueError, match=words):
            SparseLinear.stack([first, other])


def test_nothing_is_lost_unsaid():
    weight = torch.zeros(72, 64)
    pattern = make_pattern("bibd", 64, 72)
    off = next(c for c in range(64) if c not in pattern.indices[: pattern.indptr[1]])
    for value in (float("nan"), float("inf"), 1e-20):
        weight[0, off] = value
        with pytest.raises(ValueError, match="would be lost"):
            SparseLinear.from_dense(weight, None, "bibd")
    with pytest.raises(ValueError, match=r"expected a bias of shape \(72,\), got \(1,\)"):
        SparseLinear.from_dense(torch.zeros(72, 64), torch.ones(1))
    with pytest.raises(ValueError, match=r"pass layer\.weight and layer\.bias"):
        SparseLinear.from_dense(nn.Linear(4, 4))


def test_state_dicts_can_be_averaged_and_damage_is_named():
    a, b = BibdLinear(64, 72), BibdLinear(64, 72)
    mean = {k: 0.5 * v + 0.5 * b.state_dict()[k] for k, v in a.state_dict().items()}
    soup = BibdLinear(64, 72)
    soup.load_state_dict(mean)
    torch.testing.assert_close(soup(X), (a(X) + b(X)) / 2)
    net = nn.Sequential(BibdLinear(64, 72))
    state = net.state_dict() | {"0._extra_state": torch.tensor([1, 2], dtype=torch.uint8)}
    with pytest.raises(RuntimeError, match=r"0\._extra_state is damaged"):
        net.load_state_dict(state)
    other = nn.Sequential(BibdLinear(64, 72, seed=1))
    before = other[0].weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"0\.weight: these values belong to pattern bibd"):
        other.load_state_dict(net.state_dict())
    assert torch.equal(other[0].weight, before)  # refused before anything was copied
    few, many = (
        SparseLinear(64, 72, make_pattern("random", 64, 72, 1, nonzeros=n)) for n in (100, 200)
    )
    with pytest.raises(RuntimeError, match=r"nonzeros=100, seed=1.*nonzeros=200, seed=1"):
        many.load_state_dict(few.state_dict())


def test_a_dense_checkpoint_is_pointed_to_its_ways():
    for sparse, dense in (
        (BibdLinear(64, 72), nn.Linear(64, 72)),
        (SparseConv2d(9, 12, 3), nn.Conv2d(9, 12, 3)),
    ):
        with pytest.raises(RuntimeError, match=r"weight looks like a dense weight .*from_dense"):
            sparse.load_state_dict(dense.state_dict())


def test_patterns_are_copies_and_stay_frozen():
    indptr, indices = np.array([0, 2]), np.array([0, 3])
    pattern = bibd.Pattern("own", 4, 1, indptr, indices)
    indices[0] = 2  # the caller's own
    assert pattern.indices.tolist() == [0, 3]
    for same in (pattern, pickle.loads(pickle.dumps(pattern))):
        with pytest.raises(ValueError, match="read-only"):
            same.indices[0] = 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SparseLinear(8, 8, False), "for the bias say bias=False"),
        (lambda: SparseLinear(8, 8, np.ones((8, 8))), "a ndarray; expected a name.*from_mask"),
        (lambda: SparseLinear(8, 8, "grouped"), "did you mean 'block_diagonal'"),
        (lambda: bibd.from_blocks(4, [[0.5, 1.9]]), "points are whole numbers"),
        (lambda: bibd.from_blocks(4, []), "at least one block, got none"),
        (lambda: bibd.from_blocks([[0, 1]], 4), "takes the number of points"),
        (lambda: bibd.from_mask(torch.ones(2, 2, 3, 3)), r"any\(\(2, 3\)\)"),
        (
            lambda: SparseLinear(8, 8, backend="bag").bfloat16()(X[:, :8].bfloat16()),
            "is for float32",
        ),
    ],
)
def test_wrong_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_mask_may_need_a_gradient():
    layer = nn.Linear(3, 2)
    assert bibd.from_mask(layer.weight).nonzeros == 6
    assert SparseConv2d(4, 4, np.int64(3), stride=(np.int64(2), 1)).stride == (2, 1)
