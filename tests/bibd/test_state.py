"""States of layers: averages, meta devices, damage, checkpoints of something else."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

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
