"""States of layers: copies, files, averages, meta devices, damage, checkpoints of something else."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from bibd import BibdLinear, SparseConv2d, SparseLinear, make_pattern

X = torch.randn(3, 64)
BACKENDS = ["dense", "bag"]
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


def test_meta_device_then_real():
    layer = SparseLinear(25, 30, device="meta")
    assert layer(torch.empty(2, 25, device="meta")).shape == (2, 30)
    layer.to_empty(device="cpu").reset_parameters()
    reference = SparseLinear(25, 30)
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 25)
    assert torch.equal(layer(x), reference(x))


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


def test_states_are_tensors_all_through():
    state = {k: v.clone() for k, v in BibdLinear(9, 12).state_dict().items()}
    layer = BibdLinear(9, 12)
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, state["weight"])
    assert state["_extra_state"].numel() < 300
    assert BibdLinear(9, 12, False).bias is None


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
